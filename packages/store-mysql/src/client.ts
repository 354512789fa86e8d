import { read, type TypeCast, write } from "./connection.ts";
import type { Database, Queries } from "./queries.ts";
import { connectionOf, drizzleTransactions, runIn, transaction } from "./transactions.ts";

/** A connection of {@link MysqlPool}. */
export interface MysqlConnection {
  readonly threadId: number | null;
  query(sql: string): Promise<unknown>;
  execute(options: {
    readonly sql: string;
    readonly values?: unknown[];
    readonly rowsAsArray?: boolean;
    readonly typeCast?: TypeCast;
  }): Promise<unknown>;
  release(): void;
  destroy(): void;
}

/** A pool of `mysql2/promise`. */
export interface MysqlPool {
  /** A cluster of pools lacks it: records have to be on one server. */
  readonly execute: unknown;
  getConnection(): Promise<MysqlConnection>;
}

/** A pool of `mysql2` with callbacks. */
export interface MysqlCallbackPool {
  promise(): MysqlPool;
}

/** A drizzle database on a pool. */
export interface DrizzleDatabase {
  readonly $client: MysqlPool | MysqlCallbackPool;
  readonly transaction: (...work: never) => Promise<unknown>;
}

/**
 * What a store can run on: a pool of mysql2, with promises or callbacks, or a drizzle database on top of
 * one. It stays the user's: it is never closed here.
 */
export type MysqlClient = MysqlPool | MysqlCallbackPool | DrizzleDatabase;

/** What the users of a client work with inside a transaction. */
export type TransactionOf<C> = C extends {
  readonly $client: unknown;
  transaction(work: (tx: infer Tx) => Promise<unknown>, ...others: never): unknown;
}
  ? Tx
  : C extends { getConnection(): Promise<infer Tx> }
    ? Tx
    : C extends {
          getConnection(callback: infer Callback extends (...given: never) => unknown): unknown;
        }
      ? Parameters<Callback>[1]
      : never;

const EXPECTED = "client: expected a pool of mysql2, or a drizzle database on one, ";

/** @throws TypeError where it is none of them, or a single connection */
export function databaseOf(client: MysqlClient): Database {
  const isDrizzle = "$client" in Object(client);
  const pool = poolOf(isDrizzle ? (client as DrizzleDatabase).$client : client);
  const database = runOn(pool, { isPlain: pool === client });
  return isDrizzle ? { ...database, ...drizzleTransactions(client as DrizzleDatabase) } : database;
}

function poolOf(driver: unknown): MysqlPool {
  if (typeof driver !== "object" || driver === null || !("execute" in driver)) {
    const got = driver === null ? "null" : `a value of type ${typeof driver}`;
    throw new TypeError(`${EXPECTED}got ${got}.`);
  }
  if ("of" in driver || !("end" in driver)) {
    throw new TypeError(`${EXPECTED}got a cluster of pools: records have to be on one server.`);
  }
  if (!("getConnection" in driver)) {
    throw new TypeError(
      `${EXPECTED}got a single connection: calls of others would run inside its transactions.`,
    );
  }
  return ("promise" in driver ? (driver as MysqlCallbackPool).promise() : driver) as MysqlPool;
}

/** @param how whether its users know its connections by their promises, and not by callbacks */
function runOn(pool: MysqlPool, { isPlain }: { readonly isPlain: boolean }): Database {
  const session = async <T>(work: (queries: Queries) => Promise<T>): Promise<T> => {
    const connection = await pool.getConnection();
    try {
      return await work({
        read: (text, values) => read(connection, text, values),
        write: (text, values) => write(pool, connection, text, values),
        define: async (sql) => {
          await connection.execute({ sql });
        },
      });
    } finally {
      connection.release();
    }
  };
  return {
    session,
    read: (text, values) => session((queries) => queries.read(text, values)),
    write: (text, values) => session((queries) => queries.write(text, values)),
    define: (text) => session((queries) => queries.define(text)),
    transaction: (idleMs, work) => transaction(pool, isPlain, idleMs, work),
    within: (tx) => runIn(connectionOf(tx)),
  };
}
