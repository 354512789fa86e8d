import type { Store, TransactionalStore } from "@idemkit/engine";
import type { Harness } from "./harness.ts";

/** What the author of a store with transactions hands to the suite as well. */
export interface TransactionalHarness<Tx = unknown> extends Harness {
  readonly stores: readonly [TransactionalStore<Tx>, TransactionalStore<Tx>];
  /** Writes one row with this label into a table of the test's own, through a transaction. */
  write(tx: Tx, label: string): unknown;
  /** How many rows with this label are committed, also while a transaction is open that writes one. */
  count(label: string): Promise<number>;
  /**
   * Opens a transaction as an application does, on the first handle's database, hands it to the work,
   * and commits; rolls back where the work rejects.
   */
  transaction(work: (tx: Tx, bound: Store) => Promise<void>): Promise<void>;
}

/** One promise of the TransactionalStore contract. */
export interface TransactionalClause {
  readonly id: string;
  readonly title: string;
  check(harness: TransactionalHarness<never>): Promise<void>;
}
