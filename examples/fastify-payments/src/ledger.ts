import type Database from "better-sqlite3";

export interface ChargeRequest {
  readonly amount: number;
  readonly currency: string;
  readonly source: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface Charge {
  readonly id: string;
  readonly object: "charge";
  readonly amount: number;
  readonly currency: string;
  readonly source: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: "pending" | "succeeded" | "failed";
  /** Seconds since 1970, as Stripe has them. */
  readonly created: number;
}

const TABLE = `
  CREATE TABLE IF NOT EXISTS charges (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    created_s INTEGER NOT NULL,
    times_begun INTEGER NOT NULL
  ) STRICT`;

/** One statement: of two attempts at one charge, the second finds what the first has begun. */
const BEGIN = `
  INSERT INTO charges
    (id, account, amount, currency, source, metadata, status, created_s, times_begun)
  VALUES (@id, @account, @amount, @currency, @source, @metadata, 'pending', unixepoch(), 1)
  ON CONFLICT (id) DO UPDATE SET times_begun = times_begun + 1
  RETURNING *`;

/** What is decided stays decided. */
const DECIDE = "UPDATE charges SET status = ? WHERE id = ? AND status = 'pending'";

const FIND = "SELECT * FROM charges WHERE id = ? AND account = ?";

interface Row {
  readonly id: string;
  readonly amount: number;
  readonly currency: string;
  readonly source: string;
  readonly metadata: string;
  readonly status: Charge["status"];
  readonly created_s: number;
}

/** The charges, next to idemkit's records in the same database. */
export class Ledger {
  readonly #db: Database.Database;

  constructor(db: Database.Database) {
    this.#db = db;
    db.exec(TABLE);
  }

  /** Writes a charge down before anything is done, or answers the one that has this id already. */
  begin(id: string, account: string, { metadata = {}, ...request }: ChargeRequest): Charge {
    const values = { ...request, id, account, metadata: JSON.stringify(metadata) };
    return chargeOf(this.#db.prepare(BEGIN).get(values) as Row);
  }

  decide(id: string, account: string, status: "succeeded" | "failed"): Charge {
    this.#db.prepare(DECIDE).run(status, id);
    const charge = this.find(id, account);
    if (charge === undefined) throw new Error("A charge that was begun is gone.");
    return charge;
  }

  find(id: string, account: string): Charge | undefined {
    const row = this.#db.prepare(FIND).get(id, account) as Row | undefined;
    return row && chargeOf(row);
  }
}

function chargeOf({ id, amount, currency, source, metadata, status, created_s }: Row): Charge {
  return {
    ...{ id, object: "charge", amount, currency, source, status, created: created_s },
    metadata: JSON.parse(metadata) as Charge["metadata"],
  };
}
