/**
 * What idemkit needs of a better-sqlite3 database. The handle stays the user's: it is never closed
 * here, and no setting of it is changed for good.
 */
export interface SqliteHandle {
  readonly inTransaction: boolean;
  readonly memory: boolean;
  readonly readonly: boolean;
  prepare(sql: string): SqliteStatement;
  exec(sql: string): unknown;
  pragma(source: string, options?: { readonly simple?: boolean }): unknown;
}

/** What a store can run on: a better-sqlite3 database, or a drizzle database on one. */
export type SqliteClient = SqliteHandle | { readonly $client: SqliteHandle };

/** @throws TypeError where it is no database: a path, say */
export function handleOf(client: SqliteClient): SqliteHandle {
  const db: unknown =
    "$client" in Object(client) ? (client as { $client: unknown }).$client : client;
  const isHandle = typeof (db as Partial<SqliteHandle> | null)?.prepare === "function";
  if (isHandle) return db as SqliteHandle;
  throw new TypeError(
    "db: expected a better-sqlite3 database, such as openSqlite(path), or a drizzle database on one, " +
      `got ${db === null ? "null" : `a value of type ${typeof db}`}.`,
  );
}

export interface SqliteStatement {
  run(...parameters: unknown[]): { readonly changes: number };
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
  safeIntegers(isOn: boolean): this;
}
