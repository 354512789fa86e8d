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

/** @throws TypeError where it is no database: a path, say */
export function checkHandle(db: SqliteHandle): void {
  if (typeof db === "object" && db !== null && typeof db.prepare === "function") return;
  throw new TypeError(
    "db: expected a better-sqlite3 database, such as openSqlite(path), " +
      `got ${db === null ? "null" : `a value of type ${typeof db}`}.`,
  );
}

export interface SqliteStatement {
  run(...parameters: unknown[]): { readonly changes: number };
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
  safeIntegers(isOn: boolean): this;
}
