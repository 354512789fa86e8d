import { type PgPool, pgQueries } from "./drivers/pg.ts";
import { type PostgresJs, postgresJsQueries } from "./drivers/postgres-js.ts";
import type { Database } from "./queries.ts";

/**
 * What a store can run on: a `Pool` of node-postgres, the `sql` of postgres.js, or a drizzle database
 * on top of either. It stays the user's: it is never closed here.
 */
export type PostgresClient = PgPool | PostgresJs | { readonly $client: PgPool | PostgresJs };

const EXPECTED =
  "client: expected a Pool of pg, the sql of postgres.js, or a drizzle database on one of them, ";

/** @throws TypeError where it is none of them, or a single connection */
export function queriesOf(client: PostgresClient): Database {
  const driver: unknown =
    "$client" in Object(client) ? (client as { $client: unknown }).$client : client;
  if (typeof driver === "function" && "unsafe" in driver) {
    if ("begin" in driver && !("release" in driver))
      return postgresJsQueries(driver as unknown as PostgresJs);
    throw new TypeError(
      `${EXPECTED}got a reserved connection or an open transaction of postgres.js.`,
    );
  }
  if (typeof driver === "object" && driver !== null && "query" in driver) {
    if ("totalCount" in driver) return pgQueries(driver as PgPool);
    throw new TypeError(
      `${EXPECTED}got a single connection: calls of others would run inside its transactions.`,
    );
  }
  const got = driver === null ? "null" : `a value of type ${typeof driver}`;
  throw new TypeError(`${EXPECTED}got ${got}.`);
}
