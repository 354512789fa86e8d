import type { Engine } from "@idemkit/engine";
import { openPostgresDatabase } from "./postgres-database.ts";
import { openSqliteDatabase } from "./sqlite-database.ts";

export type Value = string | number | null;

/** Runs the statements of this example: on both databases a parameter is `$1`, and a list is `each_of($1)`. */
export interface Queries {
  all<Row>(statement: string, ...parameters: readonly Value[]): Promise<readonly Row[]>;
}

/** What works inside one transaction, and the engine whose records are part of its commit. */
export type Work<T> = (tx: Queries, engine: Engine) => Promise<T>;

/** One interface over the two drivers. */
export interface Database extends Queries {
  /** Its records are committed by themselves: for work whose effects are outside of this database. */
  readonly engine: Engine;
  /**
   * Runs the work in one transaction and commits it. After a deadlock, or a commit whose answer was lost,
   * the whole is run again, so that work has to be idempotent: by natural keys, or by its engine.
   */
  transaction<T>(work: Work<T>): Promise<T>;
  close(): Promise<void>;
}

const SQLITE_PREFIX = "sqlite:";

/**
 * Opens the database and makes its tables.
 *
 * @param address `sqlite:path` or `postgres://…`
 */
export async function openDatabase(address: string): Promise<Database> {
  if (address.startsWith(SQLITE_PREFIX)) {
    return await openSqliteDatabase(address.slice(SQLITE_PREFIX.length));
  }
  if (/^postgres(ql)?:/.test(address)) return await openPostgresDatabase(address);
  throw new TypeError(`INVENTORY_DATABASE: expected sqlite:path or postgres://…, got ${address}.`);
}
