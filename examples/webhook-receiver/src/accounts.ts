import type Sqlite from "better-sqlite3";

const TABLES = `
  CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY,
    balance_cents INTEGER NOT NULL
  ) STRICT`;
const OPEN = `INSERT INTO accounts VALUES (?, 0) ON CONFLICT DO NOTHING`;
const CREDIT = `
  UPDATE accounts SET balance_cents = balance_cents + ? WHERE id = ? RETURNING balance_cents`;
const BALANCE = `SELECT balance_cents FROM accounts WHERE id = ?`;

/** A deposit came before its account was opened. */
class UnknownAccountError extends Error {
  override readonly name = "UnknownAccountError";
  readonly statusCode = 409;
}

/** Balances, in a table beside idemkit's. */
export class Accounts {
  readonly #db: Sqlite.Database;

  constructor(db: Sqlite.Database) {
    this.#db = db;
    db.exec(TABLES);
  }

  open(id: string): void {
    this.#db.prepare(OPEN).run(id);
  }

  balanceCents(id: string): number | undefined {
    return this.#db.prepare(BALANCE).pluck().get(id) as number | undefined;
  }
}

/**
 * Adds to a balance. Twice is too much: nothing in this table shows that it happened already.
 *
 * @param tx the transaction that commits the outcome as well
 * @returns the new balance in cents
 * @throws UnknownAccountError
 */
export function credit(tx: Sqlite.Database, account: string, amountCents: number): number {
  const balanceCents = tx.prepare(CREDIT).pluck().get(amountCents, account);
  if (balanceCents === undefined) throw new UnknownAccountError("There is no such account yet.");
  return balanceCents as number;
}
