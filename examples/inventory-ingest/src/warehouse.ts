import Sqlite from "better-sqlite3";

/** What a warehouse is told to send, and under which name it knows it. */
export interface Shipment {
  /** The same for all revisions of an instruction: a later one replaces what an earlier one said. */
  readonly reference: string;
  readonly revision: number;
  readonly product: string;
  readonly location: string;
  readonly quantity: number;
}

/** The outside world. What it was told it knows, whatever becomes of the process that told it. */
export interface Warehouse {
  /** @throws WarehouseRefusedError, and then it knows nothing of it */
  tell(requestKey: string, shipment: Shipment): Promise<string>;
  /** What it answered to a request, if it ever got that. */
  find(requestKey: string): Promise<string | undefined>;
}

/** The warehouse has understood, and will not. */
export class WarehouseRefusedError extends Error {
  override readonly name = "WarehouseRefusedError";
}

const MESSAGES = `
  CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY,
    request_key TEXT NOT NULL,
    reference TEXT NOT NULL,
    revision INTEGER NOT NULL,
    product TEXT NOT NULL,
    location TEXT NOT NULL,
    quantity INTEGER NOT NULL
  ) STRICT`;

const TELL = `
  INSERT INTO messages (request_key, reference, revision, product, location, quantity)
  VALUES (@requestKey, @reference, @revision, @product, @location, @quantity)`;

const FIND = "SELECT number FROM messages WHERE request_key = ?";

const HEARD = `
  SELECT reference, revision, product, location, quantity FROM messages ORDER BY number`;

/** A late message of an earlier revision changes nothing. */
const PLAN = `
  SELECT reference, max(revision) AS revision, product, location, quantity
  FROM messages GROUP BY reference ORDER BY reference`;

const BUSY_TIMEOUT_MS = 5_000;

/**
 * A warehouse of somebody else, with a file of its own. It writes down all that it hears, the same twice
 * if it is told so: that it is told once is up to those who tell it.
 */
export class FakeWarehouse implements Warehouse {
  readonly #db: Sqlite.Database;
  /** Called when a message was written down, before it is answered: where a process may die. */
  readonly #beforeAnswer: () => Promise<void>;

  constructor(path: string, beforeAnswer: () => Promise<void> = async () => undefined) {
    this.#db = new Sqlite(path, { timeout: BUSY_TIMEOUT_MS });
    this.#db.pragma("journal_mode = WAL");
    this.#db.exec(MESSAGES);
    this.#beforeAnswer = beforeAnswer;
  }

  async tell(requestKey: string, shipment: Shipment): Promise<string> {
    if (shipment.quantity < 1) throw new WarehouseRefusedError("There is nothing to send.");
    const { lastInsertRowid } = this.#db.prepare(TELL).run({ requestKey, ...shipment });
    await this.#beforeAnswer();
    return `w-${lastInsertRowid}`;
  }

  async find(requestKey: string): Promise<string | undefined> {
    const row = this.#db.prepare(FIND).get(requestKey) as { readonly number: number } | undefined;
    return row && `w-${row.number}`;
  }

  /** Every message that it ever got. */
  get heard(): readonly Shipment[] {
    return this.#db.prepare(HEARD).all() as Shipment[];
  }

  /** What it is going to send. */
  get plan(): readonly Shipment[] {
    return this.#db.prepare(PLAN).all() as Shipment[];
  }

  close(): void {
    this.#db.close();
  }
}
