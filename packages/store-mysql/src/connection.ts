import type { MysqlConnection, MysqlPool } from "./client.ts";
import type { TextRow, Written } from "./queries.ts";

export type TypeCast = (field: unknown, next: () => unknown) => unknown;

/** Longer than this no statement that writes may hold its locks, or wait for those of others. */
const WRITE_MS_MAX = 2_000;
const END_MS_MAX = 2_000;

/** Whatever the application has set, which only a function overrules. */
const asTheServerSent: TypeCast = (_, next) => next();

export async function read(
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
export async function write(
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
    return await writeAtLeisure(connection, sql, values);
  } finally {
    isOver = true;
    clearTimeout(timer);
    // Whoever gets the connection next must not be what is ended.
    await ending;
  }
}

export async function writeAtLeisure(
  connection: MysqlConnection,
  sql: string,
  values: readonly (string | null)[] = [],
): Promise<Written> {
  const [result] = (await connection.execute({ sql, values: [...values] })) as [
    { readonly affectedRows: number; readonly insertId: number | string },
  ];
  return { count: result.affectedRows, said: Number(result.insertId) };
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
