import { createEngine } from "@idemkit/engine";
import { loseAnswers, loseCommit, startProxy } from "@idemkit/test-servers";
import { onTestFinished, test } from "vitest";
import { migrate, postgresStore } from "../src/index.ts";
import { clients, pool, sql } from "./clients.ts";
import { database } from "./database.ts";

// The server does what it is asked, and the answer is cut off on its way back.

for (const [name, connect] of Object.entries({ pg: pool, "postgres.js": sql })) {
  test(`on ${name} an owner recognises itself, and nothing runs twice`, async () => {
    const url = await database();
    const proxy = await startProxy(url);
    onTestFinished(() => proxy.stop());
    const client = connect(proxy.url, onTestFinished);
    await migrate(client);
    const engine = createEngine({ store: postgresStore(client) });
    await loseAnswers(() => proxy.loseAnswers(1), engine);
  });
}

for (const [name, connect] of Object.entries(clients)) {
  test(`on ${name} a transaction whose COMMIT was not answered is known to be committed`, async () => {
    const url = await database();
    const proxy = await startProxy(url);
    onTestFinished(() => proxy.stop());
    await migrate(pool(url, onTestFinished));
    await loseCommit(proxy, postgresStore(connect(proxy.url, onTestFinished)));
  });
}
