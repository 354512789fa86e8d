import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";

export type Verdict = "approved" | "declined";

/** Another company's service that moves the money. */
export interface CardNetwork {
  /**
   * @param options.idempotencyKey the network moves the money once for each key
   * @throws CardNetworkError if no response arrives: the money may have been moved
   */
  authorise(
    source: string,
    amount: number,
    options: { readonly idempotencyKey: string; readonly signal?: AbortSignal },
  ): Promise<Verdict>;
  /**
   * The verdict for a key, if the network has received a request with it.
   *
   * @throws CardNetworkError if no response arrives
   */
  find(idempotencyKey: string): Promise<Verdict | undefined>;
  close(): void;
}

export class CardNetworkError extends Error {
  override readonly name = "CardNetworkError";
}

/** Stripe's test card that has no money. */
const DECLINED_SOURCE = "tok_chargeDeclined";

const TABLE = `
  CREATE TABLE IF NOT EXISTS authorisations (
    idempotency_key TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    times_asked INTEGER NOT NULL
  ) STRICT`;

const AUTHORISE = `
  INSERT INTO authorisations VALUES (@idempotencyKey, @amount, @verdict, 1)
  ON CONFLICT (idempotency_key) DO UPDATE SET times_asked = times_asked + 1
  RETURNING verdict`;

const FIND = "SELECT verdict FROM authorisations WHERE idempotency_key = ?";

/**
 * Stands for the network in this example. It has a database of its own: money that it has moved stays moved,
 * whatever happens to the process that asked for it.
 */
export class PretendedNetwork implements CardNetwork {
  readonly #db: Database.Database;
  readonly #delayMs: number;
  /** While it is down it receives no request. */
  isDown = false;
  /** It moves the money, and its responses do not arrive. */
  losesResponses = false;

  /** @param path a SQLite file of its own */
  constructor(path: string, delayMs = 0) {
    this.#db = new Database(path);
    this.#db.pragma("journal_mode = WAL");
    this.#db.exec(TABLE);
    this.#delayMs = delayMs;
  }

  async authorise(
    source: string,
    amount: number,
    { idempotencyKey, signal }: Parameters<CardNetwork["authorise"]>[2],
  ): Promise<Verdict> {
    this.#refuseWhileDown();
    const made = source === DECLINED_SOURCE ? "declined" : "approved";
    const values = { idempotencyKey, amount, verdict: made };
    const { verdict } = this.#db.prepare(AUTHORISE).get(values) as { readonly verdict: Verdict };
    await sleep(this.#delayMs, undefined, signal && { signal });
    if (this.losesResponses) throw new CardNetworkError("The card network's response was lost.");
    return verdict;
  }

  async find(idempotencyKey: string): Promise<Verdict | undefined> {
    this.#refuseWhileDown();
    return this.#db.prepare(FIND).pluck().get(idempotencyKey) as Verdict | undefined;
  }

  close(): void {
    this.#db.close();
  }

  #refuseWhileDown(): void {
    if (this.isDown) throw new CardNetworkError("The card network does not respond.");
  }
}
