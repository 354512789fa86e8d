import { clauses, type Harness } from "@idemkit/conformance";
import { batchedStore } from "@idemkit/engine";
import { storeInAnotherProcess } from "@idemkit/test-servers";
import { afterAll, beforeAll, describe, inject, test } from "vitest";
import { redisStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, type ClientName, clients } from "./clients.ts";
import { FOR_EVER_MS, primaryAndReplica, replicatedStore } from "./replication.ts";

type MakeHarness = (
  name: ClientName,
  urls: readonly string[],
  cleanUp: CleanUp,
) => Promise<Harness> | Harness;

const twoClients: MakeHarness = (name, urls, cleanUp) => {
  const client = clients[name](urls, cleanUp);
  return {
    stores: [redisStore(client), redisStore(clients[name](urls, cleanUp))],
    expiresByItself: true,
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
};

const twoFronts: MakeHarness = async (name, urls, cleanUp) => {
  const { stores, ...harness } = await twoClients(name, urls, cleanUp);
  return { ...harness, stores: [batchedStore(stores[0]), batchedStore(stores[1])] };
};

const twoProcesses: MakeHarness = async (name, urls, cleanUp) => {
  const client = clients[name](urls, cleanUp);
  const script = new URL("store-process.ts", import.meta.url);
  return {
    stores: [redisStore(client), await storeInAnotherProcess(script, [name, ...urls], cleanUp)],
    expiresByItself: true,
    elapse: (ms, digests) => elapse(client, ms, digests),
  };
};

const oneReplica: MakeHarness = async (_name, _urls, cleanUp) => {
  const { primary } = await primaryAndReplica(cleanUp);
  const { url } = primary.server;
  const patient = { replicaTimeoutMs: FOR_EVER_MS };
  return {
    stores: [replicatedStore(url, cleanUp, patient), replicatedStore(url, cleanUp, patient)],
    expiresByItself: true,
    elapse: (ms, digests) => elapse(primary.client, ms, digests),
  };
};

const groups: readonly (readonly [string, ClientName, MakeHarness])[] = [
  ["two clients", "ioredis 6", twoClients],
  ["two clients", "ioredis 5", twoClients],
  ["two clients", "a Cluster of ioredis 6", twoClients],
  ["two clients", "a Cluster of ioredis 5", twoClients],
  ["a batching front before each of two clients", "ioredis 6", twoFronts],
  ["two clients that wait for a replica", "ioredis 6", oneReplica],
  ["two processes", "ioredis 6", twoProcesses],
  ["two processes", "a Cluster of ioredis 6", twoProcesses],
];

for (const [what, name, makeHarness] of groups) {
  describe(`redisStore on ${name}, ${what}`, () => {
    let harness: Harness;
    const undos: (() => Promise<void>)[] = [];
    beforeAll(async () => {
      const isCluster = name.includes("Cluster");
      const urls = isCluster ? inject("redisClusterUrls") : [inject("redisUrl")];
      harness = await makeHarness(name, urls, (undo) => undos.unshift(undo));
    });
    afterAll(async () => {
      for (const undo of undos) await undo();
    });
    for (const { id, title, check } of clauses) {
      test(`${id}: ${title}`, () => check(harness));
    }
  });
}
