import { race, storeInAnotherProcess } from "@idemkit/test-servers";
import { onTestFinished, test } from "vitest";
import { migrate } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";

const CONNECTIONS = "4";

for (const name of ["pg", "postgres.js"]) {
  test(`two processes with four connections each on ${name}: one winner for each key`, async () => {
    const url = await database();
    const client = pool(url, onTestFinished);
    await migrate(client);
    const script = new URL("store-process.ts", import.meta.url);
    const start = () => storeInAnotherProcess(script, [name, url, CONNECTIONS], onTestFinished);
    const stores = await Promise.all([start(), start()]);
    await race(stores, (ms, digests) => elapse(client, ms, digests));
  }, 120_000);
}
