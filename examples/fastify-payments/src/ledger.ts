import type { TransactionalEngine } from "@idemkit/engine";
import type { Charge } from "./charge.ts";

/** A charge of an account, as its row has it. */
export interface AccountCharge {
  readonly account: string;
  readonly charge: Charge;
}

/** The charges, in the database that has idemkit's records too: both can be part of one commit. */
export interface Ledger<Tx> {
  readonly engine: TransactionalEngine<Tx, boolean>;
  /**
   * Writes a charge in a transaction.
   *
   * @param after is called when it is written. On SQLite that is at once, because the driver has no promises
   */
  insertIn<T>(tx: Tx, charge: AccountCharge, after: () => T): T | Promise<T>;
  /** Writes a charge in a transaction of its own. */
  insert(charge: AccountCharge): Promise<void>;
  find(id: string, account: string): Promise<Charge | undefined>;
  close(): Promise<void>;
}

export interface Row extends Omit<Charge, "object" | "metadata" | "created"> {
  readonly account: string;
  /** JSON. */
  readonly metadata: string;
  readonly created_s: number;
}

export function rowOf({ account, charge }: AccountCharge): Row {
  const { object: _, metadata, created, ...columns } = charge;
  return { ...columns, account, metadata: JSON.stringify(metadata), created_s: created };
}

export function chargeOf({ account: _, metadata, created_s: created, ...columns }: Row): Charge {
  const parsed = JSON.parse(metadata) as Charge["metadata"];
  return { ...columns, object: "charge", metadata: parsed, created };
}
