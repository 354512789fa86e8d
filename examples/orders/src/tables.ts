import type Database from "better-sqlite3";

/** The shop's own tables, next to idemkit's in the same file. */
const TABLES = `
  CREATE TABLE IF NOT EXISTS stock (
    sku TEXT PRIMARY KEY,
    price_cents INTEGER NOT NULL,
    available INTEGER NOT NULL CHECK (available >= 0)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    charge_id TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    order_id TEXT NOT NULL
  ) STRICT;`;

const OPENING_STOCK = `
  INSERT OR IGNORE INTO stock (sku, price_cents, available)
  VALUES ('teapot', 2400, 100), ('kettle', 5900, 100)`;

export function createShopTables(db: Database.Database): void {
  db.exec(TABLES);
  db.exec(OPENING_STOCK);
}
