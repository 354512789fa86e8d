import { createEngine, memoryStore } from "@idemkit/engine";
import { expect, test } from "vitest";
import { Guard, type RequestFacts } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });
const guard = new Guard<string>({ engine, scope: (user) => user });
const facts: RequestFacts = {
  method: "POST",
  url: "/orders",
  rawHeaders: ["Idempotency-Key", "k"],
  contentType: "application/json",
  readBody: async () => ({ raw: "{}" }),
  report: () => expect.unreachable(),
};

test("a handler and a duplicate derive the same key in the format that they ask for", async () => {
  const first = await guard.admit("ada", facts);
  if (first.kind !== "run") return expect.unreachable();
  const inHandler = first.run.state.deriveKey("charge", { format: "uuid" });
  await first.run.recordResponse({ status: 200, headers: [], body: { kind: "json", value: 1 } });
  const again = await guard.admit("ada", facts);
  if (again.kind !== "respond" || again.state === undefined) return expect.unreachable();
  expect(again.state.deriveKey("charge", { format: "uuid" })).toBe(inHandler);
  expect(inHandler).toBe(engine.deriveKey("ada", "k", "charge", { format: "uuid" }));
  const { state } = again;
  expect(() => state.deriveKey("charge", { length: 8 })).toThrow("120 bits");
});
