import { clauses, type Harness } from "@idemkit/conformance";
import { batchedStore } from "@idemkit/engine";
import { storeInAnotherProcess } from "@idemkit/test-servers";
import { afterAll, beforeAll, describe, test } from "vitest";
import { migrate, postgresStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, type ClientName, clients } from "./clients.ts";
import { database } from "./database.ts";

// Each group keeps one database for all its clauses: they must not disturb each other.

async function twoClients(name: ClientName, cleanUp: CleanUp): Promise<Harness> {
  const url = await database(cleanUp);
  const client = clients[name](url, cleanUp);
  await migrate(client);
  return {
    stores: [postgresStore(client), postgresStore(clients[name](url, cleanUp))],
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
}

async function twoFronts(name: ClientName, cleanUp: CleanUp): Promise<Harness> {
  const { stores, ...harness } = await twoClients(name, cleanUp);
  return { ...harness, stores: [batchedStore(stores[0]), batchedStore(stores[1])] };
}

async function twoProcesses(name: ClientName, cleanUp: CleanUp): Promise<Harness> {
  const url = await database(cleanUp);
  const client = clients[name](url, cleanUp);
  await migrate(client);
  const script = new URL("store-process.ts", import.meta.url);
  return {
    stores: [postgresStore(client), await storeInAnotherProcess(script, [name, url], cleanUp)],
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
}

const groups: readonly (readonly [
  string,
  ClientName,
  (name: ClientName, cleanUp: CleanUp) => Promise<Harness>,
])[] = [
  ["two clients", "pg", twoClients],
  ["two clients", "postgres.js", twoClients],
  ["two clients", "drizzle on pg", twoClients],
  ["two clients", "drizzle on postgres.js", twoClients],
  ["a batching front before each of two clients", "pg", twoFronts],
  ["a batching front before each of two clients", "postgres.js", twoFronts],
  ["two processes", "pg", twoProcesses],
  ["two processes", "postgres.js", twoProcesses],
];

for (const [what, name, makeHarness] of groups) {
  describe(`postgresStore on ${name}, ${what}`, () => {
    let harness: Harness;
    const undos: (() => Promise<void>)[] = [];
    beforeAll(async () => {
      harness = await makeHarness(name, (undo) => undos.unshift(undo));
    });
    afterAll(async () => {
      for (const undo of undos) await undo();
    });
    for (const { id, title, check } of clauses) {
      test(`${id}: ${title}`, () => check(harness));
    }
  });
}
