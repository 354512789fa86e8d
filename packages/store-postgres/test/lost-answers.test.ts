import { createEngine } from "@idemkit/engine";
import { startProxy } from "@idemkit/test-servers";
import { expect, onTestFinished, test } from "vitest";
import { migrate, postgresStore } from "../src/index.ts";
import { pool, sql } from "./clients.ts";
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
    await engine.execute("s", "warm", null, () => 0);
    for (let round = 0; round < 20; round += 1) {
      let runs = 0;
      const fn = () => {
        runs += 1;
        if (round % 2 === 1) proxy.loseAnswers(1);
        return runs;
      };
      if (round % 2 === 0) proxy.loseAnswers(1);
      const first = await engine.execute("s", `k${round}`, null, fn);
      expect(first).toMatchObject({ value: 1, replayed: false, recorded: true, attempt: 1 });
      expect(await engine.execute("s", `k${round}`, null, fn)).toMatchObject({
        value: 1,
        replayed: true,
      });
    }
  });
}
