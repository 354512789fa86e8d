import type { DrizzleDatabase, MysqlConnection, MysqlPool } from "./client.ts";
import { read, writeAtLeisure } from "./connection.ts";
import type { Database, Queries } from "./queries.ts";

type Work<T> = (queries: Queries, tx: unknown) => Promise<T>;

/** A loser must see its winner's record, which the snapshot of a stricter isolation does not show. */
const ISOLATION = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/** @param isPlain whether its users know its connections by their promises, and not by callbacks */
export async function transaction<T>(pool: MysqlPool, isPlain: boolean, work: Work<T>): Promise<T> {
  const connection = await pool.getConnection();
  let isBroken = true;
  try {
    await connection.query(ISOLATION);
    await connection.query("START TRANSACTION");
    try {
      const tx = isPlain
        ? connection
        : (connection as { readonly connection?: unknown }).connection;
      const result = await work(runIn(connection), tx);
      await connection.query("COMMIT");
      isBroken = false;
      return result;
    } catch (error) {
      isBroken = !(await isRolledBack(connection));
      throw error;
    }
  } finally {
    // A connection that is thrown away takes its open transaction with it.
    if (isBroken) connection.destroy();
    else connection.release();
  }
}

async function isRolledBack(connection: MysqlConnection): Promise<boolean> {
  return await connection.query("ROLLBACK").then(
    () => true,
    () => false,
  );
}

type DrizzleTransaction = (
  work: (tx: unknown) => Promise<unknown>,
  config: object,
) => Promise<unknown>;

/** A transaction is drizzle's, so that its users get what they know; its connection is its session's. */
export function drizzleTransactions(db: DrizzleDatabase): Pick<Database, "transaction" | "within"> {
  const begin = db.transaction.bind(db) as unknown as DrizzleTransaction;
  const within = (tx: unknown) => runIn(connectionOf(sessionOf(tx)));
  const config = { isolationLevel: "read committed" };
  return {
    within,
    transaction: async <T>(work: Work<T>) =>
      (await begin((tx) => work(within(tx), tx), config)) as T,
  };
}

function sessionOf(tx: unknown): unknown {
  const { session } = Object(tx) as { readonly session?: { readonly client?: unknown } };
  if (session?.client !== undefined) return session.client;
  throw new TypeError("tx: expected what transaction() of drizzle hands to its function.");
}

/** @throws TypeError where it is no connection */
export function connectionOf(tx: unknown): MysqlConnection {
  const isObject = typeof tx === "object" && tx !== null;
  if (isObject && "threadId" in tx && "execute" in tx) {
    return "promise" in tx
      ? (tx as { promise(): MysqlConnection }).promise()
      : (tx as MysqlConnection);
  }
  throw new TypeError("tx: expected a connection of mysql2 on which a transaction was begun.");
}

/** A statement of somebody's transaction is not ended from outside: its time-outs are theirs. */
export function runIn(connection: MysqlConnection): Queries {
  return {
    read: (text, values) => read(connection, text, values),
    write: (text, values) => writeAtLeisure(connection, text, values),
    define: async (text) => {
      await connection.query(text);
    },
  };
}
