import type { NowOrLater, TransactionalEngine } from "@idemkit/engine";

export type Value = string | number;

export type Row = Readonly<Record<string, unknown>>;

/**
 * One statement of a transaction. As data, the same list of them runs on a driver that knows no
 * promises (better-sqlite3) and on drivers that know nothing else (pg, mysql2).
 */
export interface Write {
  /** With `?` for each value. */
  readonly sql: string;
  readonly values: readonly Value[];
  /** What to throw, so that all is rolled back, where it has changed no row. */
  readonly ifNone: () => Error;
}

/**
 * The database of a shop, which also keeps the records of its keys: only so can an order and the
 * outcome of its key be one commit.
 */
export interface ShopDatabase<Tx, IsSync extends boolean> {
  readonly engine: TransactionalEngine<Tx, IsSync>;
  rows(sql: string, values: readonly Value[]): Promise<readonly Row[]>;
  /** In a transaction of its own. */
  write(writes: readonly Write[]): Promise<void>;
  /** In a transaction that somebody else has begun; answers the value when all is written. */
  writeIn<T>(tx: Tx, writes: readonly Write[], value: T): NowOrLater<T, IsSync>;
  close(): Promise<void>;
}
