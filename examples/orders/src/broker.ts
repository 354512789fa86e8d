import Database from "better-sqlite3";

export interface Message {
  readonly id: string;
  readonly name: string;
  readonly orderId: string;
}

const MESSAGES = `
  CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    order_id TEXT NOT NULL
  ) STRICT`;

const SEND = "INSERT INTO messages (id, name, order_id) VALUES (@id, @name, @orderId)";

const HAS = "SELECT 1 FROM messages WHERE id = ?";

const LIST = "SELECT id, name, order_id AS orderId FROM messages ORDER BY number";

/**
 * A message broker of somebody else: what was sent is out, and what is sent twice is out twice. It can
 * be asked what it has.
 */
export class Broker {
  readonly #db: Database.Database;

  constructor(path: string) {
    this.#db = new Database(path);
    this.#db.pragma("journal_mode = WAL");
    this.#db.exec(MESSAGES);
  }

  async send(message: Message): Promise<void> {
    this.#db.prepare(SEND).run(message);
  }

  async has(id: string): Promise<boolean> {
    return this.#db.prepare(HAS).get(id) !== undefined;
  }

  /** Everything that was ever sent, in order. */
  get sent(): readonly Message[] {
    return this.#db.prepare(LIST).all() as Message[];
  }

  close(): void {
    this.#db.close();
  }
}
