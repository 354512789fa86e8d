import type { Store } from "@idemkit/engine";
import { storeInAnotherProcess as inAnotherProcess } from "@idemkit/test-servers";
import { onTestFinished } from "vitest";
import type { CleanUp } from "./database.ts";

const script = new URL("store-process.ts", import.meta.url);

/** A store on the same file that runs in a process of its own, which ends with its user. */
export function storeInAnotherProcess(
  path: string,
  cleanUp: CleanUp = onTestFinished,
): Promise<Store> {
  return inAnotherProcess(script, [path], cleanUp);
}
