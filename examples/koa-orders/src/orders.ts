import type Sqlite from "better-sqlite3";

const TABLES = `
  CREATE TABLE IF NOT EXISTS stock (
    sku TEXT PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    operation TEXT NOT NULL UNIQUE
  ) STRICT;
  INSERT OR IGNORE INTO stock VALUES ('teapot', 100), ('kettle', 100), ('mug', 5);
`;

const SELECT_ORDER = `SELECT id, sku, quantity FROM orders WHERE customer = ? AND id = ?`;
const SELECT_ORDERS = `SELECT id, sku, quantity FROM orders WHERE customer = ? ORDER BY id`;
const SELECT_OPERATION = `SELECT id, sku, quantity FROM orders WHERE operation = ?`;
const INSERT_ORDER = `
  INSERT INTO orders (customer, sku, quantity, operation) VALUES (?, ?, ?, ?)
  RETURNING id, sku, quantity`;
const UPDATE_ORDER = `UPDATE orders SET quantity = ? WHERE id = ? RETURNING id, sku, quantity`;
const TAKE_STOCK = `UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?`;

export interface Order {
  readonly id: number;
  readonly sku: string;
  readonly quantity: number;
}

/** There is less in stock than was asked for. */
export class OutOfStockError extends Error {
  override readonly name = "OutOfStockError";
}

/** Orders and stock, in tables beside idemkit's. */
export class Orders {
  readonly #db: Sqlite.Database;

  constructor(db: Sqlite.Database) {
    this.#db = db;
    db.exec(TABLES);
  }

  /**
   * Takes the stock and creates the order, both or neither.
   *
   * @param operation the same on every attempt: the process may die when this has been committed
   *   and its response has not been recorded, and another attempt then finds its order here
   * @throws OutOfStockError
   */
  place(customer: string, { sku, quantity }: Omit<Order, "id">, operation: string): Order {
    return this.#transact(() => {
      const placed = this.#db.prepare(SELECT_OPERATION).get(operation);
      if (placed !== undefined) return placed as Order;
      this.#take(sku, quantity);
      return this.#db.prepare(INSERT_ORDER).get(customer, sku, quantity, operation) as Order;
    });
  }

  /**
   * Sets the quantity of an order. To do it again changes nothing, unless others have changed it
   * since.
   *
   * @returns nothing where the customer has no such order
   * @throws OutOfStockError
   */
  change(customer: string, id: number, quantity: number): Order | undefined {
    return this.#transact(() => {
      const order = this.find(customer, id);
      if (order === undefined) return undefined;
      this.#take(order.sku, quantity - order.quantity);
      return this.#db.prepare(UPDATE_ORDER).get(quantity, id) as Order;
    });
  }

  find(customer: string, id: number): Order | undefined {
    return this.#db.prepare(SELECT_ORDER).get(customer, id) as Order | undefined;
  }

  allOf(customer: string): readonly Order[] {
    return this.#db.prepare(SELECT_ORDERS).all(customer) as Order[];
  }

  #take(sku: string, quantity: number): void {
    const { changes } = this.#db.prepare(TAKE_STOCK).run(quantity, sku, quantity);
    if (changes === 0) throw new OutOfStockError(`There are not ${quantity} of ${sku} in stock.`);
  }

  /** Immediate, so that nothing that it has read is written by another process before its end. */
  #transact<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }
}
