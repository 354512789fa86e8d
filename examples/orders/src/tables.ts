/** The shop's own tables, next to idemkit's in the same database. All three databases read this. */
export const TABLES: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS stock (
    sku VARCHAR(255) PRIMARY KEY,
    price_cents INTEGER NOT NULL,
    available INTEGER NOT NULL CHECK (available >= 0)
  )`,
  // What is set aside for an order that is not placed yet: one row from "reserve" to the end.
  `CREATE TABLE IF NOT EXISTS reservations (
    id VARCHAR(64) PRIMARY KEY,
    customer VARCHAR(255) NOT NULL,
    idempotency_key VARCHAR(255) NOT NULL,
    sku VARCHAR(255) NOT NULL,
    quantity INTEGER NOT NULL,
    amount_cents INTEGER NOT NULL
  )`,
  // A key is new again once its record has expired: the token tells which life of it an order is of.
  `CREATE TABLE IF NOT EXISTS orders (
    id VARCHAR(64) PRIMARY KEY,
    customer VARCHAR(255) NOT NULL,
    idempotency_key VARCHAR(255) NOT NULL,
    token BIGINT NOT NULL,
    sku VARCHAR(255) NOT NULL,
    quantity INTEGER NOT NULL,
    charge_id VARCHAR(64) NOT NULL,
    amount_cents INTEGER NOT NULL,
    UNIQUE (customer, idempotency_key, token)
  )`,
  `CREATE TABLE IF NOT EXISTS outbox (
    id VARCHAR(64) PRIMARY KEY,
    name VARCHAR(64) NOT NULL,
    order_id VARCHAR(64) NOT NULL,
    token BIGINT NOT NULL,
    published INTEGER NOT NULL
  )`,
];

const OPENING_STOCK = "('teapot', 2400, 100), ('kettle', 5900, 100), ('mug', 900, 100)";

/** How each database says "unless it is there already". */
export const STOCK_UP = {
  sqlite: `INSERT OR IGNORE INTO stock VALUES ${OPENING_STOCK}`,
  postgres: `INSERT INTO stock VALUES ${OPENING_STOCK} ON CONFLICT DO NOTHING`,
  mysql: `INSERT IGNORE INTO stock VALUES ${OPENING_STOCK}`,
} as const;
