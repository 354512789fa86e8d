import { type DrizzleDatabase, drizzleDatabase } from "./drivers/drizzle.ts";
import { type PgPool, pgDatabase } from "./drivers/pg.ts";
import { type PostgresJs, postgresJsDatabase } from "./drivers/postgres-js.ts";
import type { Database } from "./queries.ts";

/**
 * What a store can run on: a `Pool` of node-postgres, the `sql` of postgres.js, or a drizzle database
 * on top of either. It stays the user's: it is never closed here.
 */
export type PostgresClient = PgPool | PostgresJs | DrizzleDatabase;

/** What the users of a client work with inside a transaction. */
export type TransactionOf<C> = C extends {
  readonly $client: unknown;
  transaction(work: (tx: infer Tx) => Promise<unknown>, ...others: never): unknown;
}
  ? Tx
  : C extends { begin(options: string, work: (tx: infer Tx) => unknown): unknown }
    ? Tx
    : C extends { connect(): Promise<infer Tx>; connect(callback: never): unknown }
      ? Tx
      : never;

const EXPECTED =
  "client: expected a Pool of pg, the sql of postgres.js, or a drizzle database on one of them, ";

/** @throws TypeError where it is none of them, or a single connection */
export function databaseOf(client: PostgresClient): Database {
  const isDrizzle = "$client" in Object(client);
  const driver: unknown = isDrizzle ? (client as DrizzleDatabase).$client : client;
  const database = driverOf(driver);
  return isDrizzle ? drizzleDatabase(client as DrizzleDatabase) : database;
}

function driverOf(driver: unknown): Database {
  if (typeof driver === "function" && "unsafe" in driver) {
    if ("begin" in driver && !("release" in driver))
      return postgresJsDatabase(driver as unknown as PostgresJs);
    throw new TypeError(
      `${EXPECTED}got a reserved connection or an open transaction of postgres.js.`,
    );
  }
  if (typeof driver === "object" && driver !== null && "query" in driver) {
    if ("totalCount" in driver) return pgDatabase(driver as PgPool);
    throw new TypeError(
      `${EXPECTED}got a single connection: calls of others would run inside its transactions.`,
    );
  }
  const got = driver === null ? "null" : `a value of type ${typeof driver}`;
  throw new TypeError(`${EXPECTED}got ${got}.`);
}
