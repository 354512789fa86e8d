import type { Database, Queries, TextRow, Written } from "./queries.ts";

type TypeCast = (field: unknown, next: () => unknown) => unknown;

/** A connection of {@link MysqlPool}. */
export interface MysqlConnection {
  readonly threadId: number | null;
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

/**
 * What a store can run on: a pool of mysql2, with promises or callbacks, or a drizzle database on top of
 * one. It stays the user's: it is never closed here.
 */
export type MysqlClient =
  | MysqlPool
  | MysqlCallbackPool
  | { readonly $client: MysqlPool | MysqlCallbackPool };

const EXPECTED = "client: expected a pool of mysql2, or a drizzle database on one, ";
/** Longer than this no statement that writes may hold its locks, or wait for those of others. */
const WRITE_MS_MAX = 2_000;
const END_MS_MAX = 2_000;

/** @throws TypeError where it is none of them, or a single connection */
export function queriesOf(client: MysqlClient): Database {
  const driver: unknown =
    "$client" in Object(client) ? (client as { $client: unknown }).$client : client;
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
  const pool = "promise" in driver ? (driver as MysqlCallbackPool).promise() : driver;
  return runOn(pool as MysqlPool);
}

function runOn(pool: MysqlPool): Database {
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
  };
}

/** Whatever the application has set, which only a function overrules. */
const asTheServerSent: TypeCast = (_, next) => next();

async function read(
  connection: MysqlConnection,
  sql: string,
  values: readonly (string | null)[] = [],
): Promise<readonly TextRow[]> {
  const options = { sql, values: [...values], rowsAsArray: true, typeCast: asTheServerSent };
  const [rows] = (await connection.execute(options)) as [readonly (readonly unknown[])[]];
  return rows.map((row) => row.map((value) => (value == null ? null : String(value))));
}

/**
 * A statement that waits for a lock holds those that it has got already, and the server's own limit is
 * fifty seconds: it is ended by way of another connection, and undone by the server as a whole.
 */
async function write(
  pool: MysqlPool,
  connection: MysqlConnection,
  sql: string,
  values: readonly (string | null)[] = [],
): Promise<Written> {
  let isOver = false;
  let ending: Promise<void> | undefined;
  const timer = setTimeout(async () => {
    // Where none is free, nothing waits for it: the connections that are in use must come back first.
    const other = await pool.getConnection().catch(() => undefined);
    if (other === undefined) return;
    if (!isOver) ending = end(other, connection);
    await ending;
    other.release();
  }, WRITE_MS_MAX);
  try {
    const [result] = (await connection.execute({ sql, values: [...values] })) as [
      { readonly affectedRows: number; readonly insertId: number | string },
    ];
    return { count: result.affectedRows, said: Number(result.insertId) };
  } finally {
    isOver = true;
    clearTimeout(timer);
    // Whoever gets the connection next must not be what is ended.
    await ending;
  }
}

/** The pool may reach several servers, which number their connections alike. */
const IS_OURS = `
  SELECT 1 FROM information_schema.processlist
  WHERE id = ? AND time > 0 AND info LIKE '%idemkit_records%'`;

/** Where it cannot be ended, the server's limit holds. */
async function end(other: MysqlConnection, { threadId }: MysqlConnection): Promise<void> {
  const id = Number(threadId);
  const timer = setTimeout(() => other.destroy(), END_MS_MAX);
  try {
    const [found] = await read(other, IS_OURS, [String(id)]);
    if (found !== undefined) await other.execute({ sql: `KILL QUERY ${id}` });
  } catch {
    // It has ended by itself, or the user may not end it.
  } finally {
    clearTimeout(timer);
  }
}
