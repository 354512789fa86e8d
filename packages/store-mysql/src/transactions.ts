import type { DrizzleDatabase, MysqlConnection, MysqlPool } from "./client.ts";
import { read, writeAtLeisure } from "./connection.ts";
import type { Database, Queries } from "./queries.ts";
import { boundSession, RESTORE_SESSION } from "./sql.ts";

const MS_PER_SECOND = 1_000;

type Work<T> = (queries: Queries, tx: unknown) => Promise<T>;

/** A loser must see its winner's record, which the snapshot of a stricter isolation does not show. */
const ISOLATION = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/** @param isPlain whether its users know its connections by their promises, and not by callbacks */
export async function transaction<T>(
  pool: MysqlPool,
  isPlain: boolean,
  idleMs: number,
  work: Work<T>,
): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.query(ISOLATION);
    const tx = isPlain ? connection : (connection as { readonly connection?: unknown }).connection;
    return await bounded(connection, idleMs, () => work(runIn(connection), tx));
  } finally {
    // Of one that was destroyed the pool knows.
    connection.release();
  }
}

/**
 * Works and commits, or rolls back. A deadlock ends a transaction behind the back of whoever works in it:
 * with autocommit switched off, what is sent after that is not on its own, and is rolled back as well.
 */
async function bounded<T>(
  connection: MysqlConnection,
  idleMs: number,
  work: () => Promise<T>,
): Promise<T> {
  let result: T;
  try {
    await connection.query(boundSession(Math.ceil(idleMs / MS_PER_SECOND)));
    result = await work();
    await connection.query("COMMIT");
  } catch (error) {
    await restored(connection, ["ROLLBACK", RESTORE_SESSION]);
    throw error;
  }
  await restored(connection, [RESTORE_SESSION]);
  return result;
}

/** A connection that cannot be left as it was is thrown away, and takes its open transaction with it. */
async function restored(connection: MysqlConnection, how: readonly string[]): Promise<void> {
  try {
    for (const statement of how) await connection.query(statement);
  } catch {
    connection.destroy();
  }
}

type DrizzleTransaction = (
  work: (tx: unknown) => Promise<unknown>,
  config: object,
) => Promise<unknown>;

/**
 * A transaction is drizzle's, so that its users get what they know; its connection is its session's. It is
 * ended before drizzle ends it, as nobody could leave the connection as it was after that.
 */
export function drizzleTransactions(db: DrizzleDatabase): Pick<Database, "transaction" | "within"> {
  const begin = db.transaction.bind(db) as unknown as DrizzleTransaction;
  const within = (tx: unknown) => runIn(connectionOf(sessionOf(tx)));
  const config = { isolationLevel: "read committed" };
  return {
    within,
    transaction: async <T>(idleMs: number, work: Work<T>) => {
      const begun = (tx: unknown) =>
        bounded(connectionOf(sessionOf(tx)), idleMs, () => work(within(tx), tx));
      return (await begin(begun, config)) as T;
    },
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
