import Database from "better-sqlite3";

export interface Charge {
  readonly id: string;
  readonly customer: string;
  /** What the customer calls the order: here its idempotency key. */
  readonly reference: string;
  readonly amountCents: number;
}

/** A charge in the provider's ledger, and how often it was asked for. */
export interface Booked extends Charge {
  readonly timesAsked: number;
}

export class CardDeclinedError extends Error {
  override readonly name = "CardDeclinedError";
  readonly code = "card_declined";
}

/** It did not answer: whether it has booked is not known. */
class ProviderDownError extends Error {
  override readonly name = "ProviderDownError";
}

/** A card that has no money. */
export const EMPTY_CARD = "no-money";

const LEDGER = `
  CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY,
    derived_key TEXT UNIQUE,
    customer TEXT NOT NULL,
    reference TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    is_declined INTEGER NOT NULL,
    times_asked INTEGER NOT NULL
  ) STRICT`;

const BOOK = `
  INSERT INTO charges (derived_key, customer, reference, amount_cents, is_declined, times_asked)
  VALUES (@idempotencyKey, @customer, @reference, @amountCents, @isDeclined, 1)
  ON CONFLICT (derived_key) DO UPDATE SET times_asked = times_asked + 1`;

const COLUMNS = `
  'ch-' || number AS id, customer, reference, amount_cents AS amountCents`;

const FIND = `SELECT ${COLUMNS}, is_declined AS isDeclined FROM charges WHERE derived_key = ?`;

const LIST = `
  SELECT ${COLUMNS}, times_asked AS timesAsked
  FROM charges WHERE is_declined = 0 ORDER BY number`;

const FORGET = "UPDATE charges SET derived_key = NULL";

/**
 * A payment provider of somebody else, with a ledger of its own: what it has booked is booked,
 * whatever becomes of the process that asked. Like most it answers a key that it knows with what it
 * did the first time, and can be asked about it.
 */
export class PaymentProvider {
  readonly #db: Database.Database;
  /** While it is down it answers nobody. */
  isDown = false;

  constructor(path: string) {
    this.#db = new Database(path);
    this.#db.pragma("journal_mode = WAL");
    this.#db.exec(LEDGER);
  }

  /** @throws CardDeclinedError, and then nothing was booked */
  async charge(
    card: string,
    charge: Omit<Charge, "id">,
    { idempotencyKey }: { readonly idempotencyKey: string },
  ): Promise<void> {
    this.#refuseWhileDown();
    const isDeclined = Number(card === EMPTY_CARD);
    this.#db.prepare(BOOK).run({ ...charge, idempotencyKey, isDeclined });
    if (this.#find(idempotencyKey)?.isDeclined) {
      throw new CardDeclinedError("The card was declined.");
    }
  }

  /** The charge that was booked for this key, if one was. */
  async chargeFor(idempotencyKey: string): Promise<Charge | undefined> {
    this.#refuseWhileDown();
    const found = this.#find(idempotencyKey);
    if (found === undefined || found.isDeclined) return undefined;
    const { id, customer, reference, amountCents } = found;
    return { id, customer, reference, amountCents };
  }

  /** It keeps keys for a day, as most providers do, and its ledger for ever. */
  forgetKeys(): void {
    this.#db.prepare(FORGET).run();
  }

  /** Everything that was ever booked, in order. */
  get ledger(): readonly Booked[] {
    return this.#db.prepare(LIST).all() as Booked[];
  }

  close(): void {
    this.#db.close();
  }

  #find(key: string): (Charge & { readonly isDeclined: number }) | undefined {
    return this.#db.prepare(FIND).get(key) as
      | (Charge & { readonly isDeclined: number })
      | undefined;
  }

  #refuseWhileDown(): void {
    if (this.isDown) throw new ProviderDownError("The payment provider does not answer.");
  }
}
