import { race, storeInAnotherProcess } from "@idemkit/test-servers";
import { onTestFinished, test } from "vitest";
import { migrate } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database, servers } from "./database.ts";

const CONNECTIONS = "4";

for (const [version, server] of servers) {
  test(`two processes with four connections each on ${version}: one winner for each key`, async () => {
    const url = await database(server);
    const client = pool(url, onTestFinished);
    await migrate(client);
    const script = new URL("store-process.ts", import.meta.url);
    const args = ["mysql2/promise", url, CONNECTIONS];
    const start = () => storeInAnotherProcess(script, args, onTestFinished);
    const stores = await Promise.all([start(), start()]);
    await race(stores, (ms, digests) => elapse(client, ms, digests));
  }, 120_000);
}
