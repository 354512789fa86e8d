import { memoryStore } from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { describe, test } from "vitest";
import { fastifyBinding, koaBinding, prove, TABLE } from "../src/index.ts";

const bindings = [koaBinding(koaModule), fastifyBinding(fastifyModule)];

const stores = {
  memory: async () => memoryStore(),
  SQLite: async () => {
    const db = openSqlite(":memory:");
    await migrate(db);
    return sqliteStore(db);
  },
};

for (const binding of bindings) {
  for (const [storeName, openStore] of Object.entries(stores)) {
    describe(`${binding.name} on ${storeName}`, () => {
      for (const [topic, rows] of Object.entries(TABLE)) {
        describe(topic, () => {
          for (const row of rows) {
            test(row.title, async () => await prove(row, binding, await openStore()));
          }
        });
      }
    });
  }
}
