import { createEngine, type Store, type TransactionalStore } from "@idemkit/engine";
import { loseAnswers, startProxy } from "@idemkit/test-servers";
import { expect, onTestFinished, test } from "vitest";
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
      const store = mysqlStore(connect(proxy.url, onTestFinished)) as Store;
      const engine = createEngine({ store: store as TransactionalStore<unknown> });
      let runs = 0;
      const outcome = await engine.transaction("orders", "k", 1, async () => {
        runs += 1;
        proxy.loseAnswerTo(/commit/i);
        return "done";
      });
      expect(outcome).toMatchObject({ value: "done", replayed: false, recorded: true });
      expect(await engine.inspect("orders", "k")).toMatchObject({ value: "done" });
      expect(runs).toBe(1);
      const other = await engine.transaction("orders", "other", 1, async () => "as before");
      expect(other.value).toBe("as before");
    });
  }
}
