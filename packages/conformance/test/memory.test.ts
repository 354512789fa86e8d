import { batchedStore, memoryStore } from "@idemkit/engine";
import { describe, test } from "vitest";
import { clauses, type Harness } from "../src/index.ts";

function inMemory(): Harness {
  let passedMs = 0;
  const store = memoryStore({ clock: () => Date.now() + passedMs });
  return {
    stores: [store, store],
    async elapse(ms) {
      passedMs += ms;
    },
  };
}

function behindFronts(): Harness {
  const { stores, elapse } = inMemory();
  return { stores: [batchedStore(stores[0]), batchedStore(stores[1])], elapse };
}

describe("memoryStore", () => {
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(inMemory()));
  }
});

describe("memoryStore behind a batching front for each handle", () => {
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(behindFronts()));
  }
});
