import { clauses, type Harness } from "@idemkit/conformance";
import { batchedStore } from "@idemkit/engine";
import { storeInAnotherProcess } from "@idemkit/test-servers";
import { afterAll, beforeAll, describe, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, type ClientName, clients } from "./clients.ts";
import { database, servers } from "./database.ts";

// Each group keeps one database for all its clauses: they must not disturb each other.

type MakeHarness = (server: string, name: ClientName, cleanUp: CleanUp) => Promise<Harness>;

const twoClients: MakeHarness = async (server, name, cleanUp) => {
  const url = await database(server, cleanUp);
  const client = clients[name](url, cleanUp);
  await migrate(client);
  return {
    stores: [mysqlStore(client), mysqlStore(clients[name](url, cleanUp))],
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
};

const twoFronts: MakeHarness = async (server, name, cleanUp) => {
  const { stores, ...harness } = await twoClients(server, name, cleanUp);
  return { ...harness, stores: [batchedStore(stores[0]), batchedStore(stores[1])] };
};

const twoProcesses: MakeHarness = async (server, name, cleanUp) => {
  const url = await database(server, cleanUp);
  const client = clients[name](url, cleanUp);
  await migrate(client);
  const script = new URL("store-process.ts", import.meta.url);
  return {
    stores: [mysqlStore(client), await storeInAnotherProcess(script, [name, url], cleanUp)],
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
};

const groups: readonly (readonly [string, ClientName, MakeHarness])[] = [
  ["two clients", "mysql2/promise", twoClients],
  ["two clients", "mysql2", twoClients],
  ["two clients", "drizzle", twoClients],
  ["a batching front before each of two clients", "mysql2/promise", twoFronts],
  ["two processes", "mysql2/promise", twoProcesses],
];

for (const [version, server] of servers) {
  for (const [what, name, makeHarness] of groups) {
    describe(`mysqlStore on ${version} through ${name}, ${what}`, () => {
      let harness: Harness;
      const undos: (() => Promise<void>)[] = [];
      beforeAll(async () => {
        harness = await makeHarness(server, name, (undo) => undos.unshift(undo));
      });
      afterAll(async () => {
        for (const undo of undos) await undo();
      });
      for (const { id, title, check } of clauses) {
        test(`${id}: ${title}`, () => check(harness));
      }
    });
  }
}
