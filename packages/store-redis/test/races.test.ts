import { race, storeInAnotherProcess } from "@idemkit/test-servers";
import { inject, onTestFinished, test } from "vitest";
import { elapse } from "../src/testing.ts";
import { type ClientName, clients } from "./clients.ts";

for (const name of ["ioredis 6", "a Cluster of ioredis 6"] satisfies ClientName[]) {
  test(`two processes on ${name}: one winner for each key`, async () => {
    const urls = name.includes("Cluster") ? inject("redisClusterUrls") : [inject("redisUrl")];
    const client = clients[name](urls, onTestFinished);
    const script = new URL("store-process.ts", import.meta.url);
    const start = () => storeInAnotherProcess(script, [name, ...urls], onTestFinished);
    const stores = await Promise.all([start(), start()]);
    await race(stores, (ms, digests) => elapse(client, ms, digests));
  }, 120_000);
}
