import { clauses, type Harness } from "@idemkit/conformance";
import { batchedStore } from "@idemkit/engine";
import { afterAll, beforeAll, describe, test } from "vitest";
import { sqliteStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, migrated, opened } from "./database.ts";
import { storeInAnotherProcess } from "./other-process.ts";

// Each group keeps one database for all its clauses: they must not disturb each other.

async function twoHandles(cleanUp: CleanUp): Promise<Harness> {
  const { db, path } = await migrated(cleanUp);
  return {
    stores: [sqliteStore(db), sqliteStore(opened(path, cleanUp))],
    elapse: async (ms, digests) => elapse(db, ms, digests),
  };
}

async function twoFronts(cleanUp: CleanUp): Promise<Harness> {
  const { stores, ...harness } = await twoHandles(cleanUp);
  return { ...harness, stores: [batchedStore(stores[0]), batchedStore(stores[1])] };
}

async function twoProcesses(cleanUp: CleanUp): Promise<Harness> {
  const { db, path } = await migrated(cleanUp);
  return {
    stores: [sqliteStore(db), await storeInAnotherProcess(path, cleanUp)],
    elapse: async (ms, digests) => elapse(db, ms, digests),
  };
}

const groups = {
  "two handles": twoHandles,
  "a batching front before each of two handles": twoFronts,
  "two processes": twoProcesses,
};

for (const [name, makeHarness] of Object.entries(groups)) {
  describe(`sqliteStore, ${name} on one file`, () => {
    let harness: Harness;
    const undos: (() => void)[] = [];
    beforeAll(async () => {
      harness = await makeHarness((undo) => undos.unshift(undo));
    });
    afterAll(() => {
      for (const undo of undos) undo();
    });
    for (const { id, title, check } of clauses) {
      test(`${id}: ${title}`, () => check(harness));
    }
  });
}
