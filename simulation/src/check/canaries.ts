import type { CallEvent, Told } from "../history.ts";
import type { Expect } from "./invariants.ts";

const CANARY = /canary-[a-z-]+/g;

/** What is stored is shown to callers of its own scope only, and in no message. */
export function checkCanaries({ record }: CallEvent, told: Told, expect: Expect): void {
  const own = `canary-${record.replace(/^\d+:|\/.*$/g, "")}`;
  const seen = JSON.stringify(told).match(CANARY) ?? [];
  const isOwn = seen.every((canary) => canary === own);
  expect(isOwn, "I8", `a caller was shown ${seen.join(", ")} of another scope`);
  const isSilent = told.as !== "error" || !/canary/.test(told.message);
  expect(isSilent, "I8", "an error message shows what was stored");
}
