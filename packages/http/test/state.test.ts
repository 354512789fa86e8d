import { createEngine, memoryStore } from "@idemkit/engine";
import { expect, test } from "vitest";
import { Protection, type RequestFacts } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });
const protection = new Protection<string>({ engine, scope: (user) => user });
const facts: RequestFacts = {
  method: "POST",
  url: "/orders",
  rawHeaders: ["Idempotency-Key", "k"],
  contentType: "application/json",
  readBody: async () => ({ raw: "{}" }),
  report: () => expect.unreachable(),
};

test("a handler and a duplicate derive the same key in the format that they ask for", async () => {
  const first = await protection.enter("ada", facts);
  if (first.as !== "run") return expect.unreachable();
  const inHandler = first.run.state.deriveKey("charge", { format: "uuid" });
  await first.run.end({ status: 200, headers: [], body: { kind: "json", text: "1" } });
  const again = await protection.enter("ada", facts);
  if (again.as !== "replay") return expect.unreachable();
  expect(again.state.deriveKey("charge", { format: "uuid" })).toBe(inHandler);
  expect(inHandler).toBe(engine.deriveKey("ada", "k", "charge", { format: "uuid" }));
  expect(() => again.state.deriveKey("charge", { length: 8 })).toThrow("120 bits");
});
