import { memoryStore } from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type { fastify } from "fastify";
import { fastify as fastify50 } from "fastify50";
import type Koa from "koa";
// @ts-expect-error It is typed as the newest is.
import koa2 from "koa2";
import { describe, test } from "vitest";
import { fastifyBinding, koaBinding, prove, TABLE } from "../src/index.ts";

const bindings = {
  "Koa 3": koaBinding(koaModule),
  "Koa 2.13": koaBinding(koaModule, koa2 as unknown as typeof Koa),
  "Fastify 5.12": fastifyBinding(fastifyModule),
  "Fastify 5.0": fastifyBinding(fastifyModule, fastify50 as unknown as typeof fastify),
};

const stores = {
  memory: async () => memoryStore(),
  SQLite: async () => {
    const db = openSqlite(":memory:");
    await migrate(db);
    return sqliteStore(db);
  },
};

for (const [name, binding] of Object.entries(bindings)) {
  for (const [storeName, openStore] of Object.entries(stores)) {
    describe(`${name} on ${storeName}`, () => {
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
