import { createEngine } from "@idemkit/engine";
import { loseAnswers, loseCommit, startProxy } from "@idemkit/test-servers";
import { onTestFinished, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import { clients, pool } from "./clients.ts";
import { database, servers } from "./database.ts";
import { intercepting } from "./intercepting.ts";

// The server does what it is asked, and the answer is cut off on its way back.

for (const [version, server] of servers) {
  test(`on ${version} an owner recognises itself, and nothing runs twice`, async () => {
    const proxy = await startProxy(await database(server));
    onTestFinished(() => proxy.stop());
    const client = pool(proxy.url, onTestFinished);
    await migrate(client);
    let isToBeLost = false;
    const losing = intercepting(client, async (sql, connection) => {
      if (!isToBeLost || !/^\s*(INSERT|UPDATE)/.test(sql)) return;
      isToBeLost = false;
      // What is lost is the answer to the statement, not to its preparation.
      await connection.prepare(sql);
      proxy.loseAnswers(1);
    });
    const engine = createEngine({ store: mysqlStore(losing) });
    await loseAnswers(() => {
      isToBeLost = true;
    }, engine);
  });

  for (const [name, connect] of Object.entries(clients)) {
    test(`on ${version} by ${name} a transaction whose COMMIT was not answered is known to be committed`, async () => {
      const url = await database(server);
      const proxy = await startProxy(url);
      onTestFinished(() => proxy.stop());
      await migrate(pool(url, onTestFinished));
      await loseCommit(proxy, mysqlStore(connect(proxy.url, onTestFinished)));
    });
  }
}
