import { mixedUpRows } from "@idemkit/test-servers";
import type pg from "pg";
import { onTestFinished, test } from "vitest";
import { migrate, type PgConnection, type PgPool, postgresStore } from "../src/index.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";

type Rows = readonly unknown[];
type Query = PgPool["query"];

/** A pool whose results, and those of its connections, pass through a function. */
function mixing(client: pg.Pool, change: (rows: Rows) => Rows): PgPool {
  const mixed =
    (queryable: { query(config: never): Promise<unknown> }): Query =>
    async (config) => {
      const result = (await queryable.query(config as never)) as Awaited<ReturnType<Query>>;
      const { rows = [], command } = result;
      return {
        rows: (rows.length > 0 ? change(rows) : rows) as unknown[][],
        command: command ?? "",
      };
    };
  return {
    totalCount: 0,
    query: mixed(client as never),
    connect: (callback) =>
      client.connect((error, connection) => {
        if (connection === undefined) return callback(error);
        const given: PgConnection = {
          query: mixed(connection as never),
          on: (name, listener) => connection.on(name, listener),
          removeListener: (name, listener) => connection.removeListener(name, listener),
          release: (isBroken) => connection.release(isBroken),
        };
        callback(undefined, given);
      }),
  };
}

for (const { title, run } of mixedUpRows) {
  test(title, async () => {
    const client = pool(await database(), onTestFinished);
    await migrate(client);
    let change = (rows: Rows) => rows;
    await run({
      store: postgresStore(mixing(client, (rows) => change(rows))) as never,
      change: (how) => {
        change = how;
      },
    });
  });
}
