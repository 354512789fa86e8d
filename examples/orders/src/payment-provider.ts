import Database from "better-sqlite3";

export interface Charge {
  readonly id: string;
  readonly customer: string;
  /** What the customer calls the order: here its idempotency key. */
  readonly reference: string;
  readonly amountCents: number;
}

class CardDeclinedError extends Error {
  override readonly name = "CardDeclinedError";
  readonly code = "card_declined";
}

const LEDGER = `
  CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    reference TEXT NOT NULL,
    amount_cents INTEGER NOT NULL
  ) STRICT`;

const BOOK = `
  INSERT INTO charges (customer, reference, amount_cents)
  VALUES (@customer, @reference, @amountCents)`;

const LIST = `
  SELECT 'ch-' || number AS id, customer, reference, amount_cents AS amountCents
  FROM charges ORDER BY number`;

/**
 * A payment provider of somebody else, with a ledger of its own: what it has booked is booked,
 * whatever becomes of the process that asked. It knows nothing of idempotency keys.
 */
export class PaymentProvider {
  readonly #db: Database.Database;
  /** Called after a charge was booked and before it is answered: where a process may die. */
  readonly #beforeAnswer: () => Promise<void>;

  constructor(path: string, beforeAnswer: () => Promise<void> = async () => undefined) {
    this.#db = new Database(path);
    this.#db.pragma("journal_mode = WAL");
    this.#db.exec(LEDGER);
    this.#beforeAnswer = beforeAnswer;
  }

  /** @throws CardDeclinedError, and then nothing was booked */
  async charge(
    card: string,
    charge: { readonly customer: string; readonly reference: string; readonly amountCents: number },
  ): Promise<Charge> {
    if (card === "no-money") throw new CardDeclinedError("The card was declined.");
    const { lastInsertRowid } = this.#db.prepare(BOOK).run(charge);
    await this.#beforeAnswer();
    return { id: `ch-${lastInsertRowid}`, ...charge };
  }

  /** Everything that was ever booked, in order. */
  get ledger(): readonly Charge[] {
    return this.#db.prepare(LIST).all() as Charge[];
  }

  close(): void {
    this.#db.close();
  }
}
