/** The application's own tables, next to idemkit's in the same database. Each is made by a statement. */
export const TABLES: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS products (
    shop text NOT NULL,
    sku text NOT NULL,
    title text NOT NULL,
    brand text NOT NULL,
    price_cents bigint NOT NULL,
    revision bigint NOT NULL,
    changed_fields text NOT NULL,
    PRIMARY KEY (shop, sku)
  )`,
  `CREATE TABLE IF NOT EXISTS product_log (
    shop text NOT NULL,
    sku text NOT NULL,
    revision bigint NOT NULL,
    changed_fields text NOT NULL,
    PRIMARY KEY (shop, sku, revision)
  )`,
  `CREATE TABLE IF NOT EXISTS stock (
    shop text NOT NULL,
    product text NOT NULL,
    location text NOT NULL,
    quantity bigint NOT NULL,
    reserved bigint NOT NULL,
    counted_on text NOT NULL,
    PRIMARY KEY (shop, product, location)
  )`,
  `CREATE TABLE IF NOT EXISTS daily_stock (
    shop text NOT NULL,
    product text NOT NULL,
    location text NOT NULL,
    day text NOT NULL,
    quantity bigint NOT NULL,
    PRIMARY KEY (shop, product, location, day)
  )`,
  `CREATE TABLE IF NOT EXISTS stock_log (
    shop text NOT NULL,
    product text NOT NULL,
    location text NOT NULL,
    mode text NOT NULL,
    batch text NOT NULL,
    quantity bigint NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS orders (
    id text NOT NULL PRIMARY KEY,
    shop text NOT NULL,
    source_system text NOT NULL,
    external_order_ref text NOT NULL,
    product text NOT NULL,
    quantity bigint NOT NULL,
    status text NOT NULL,
    decisions_made bigint NOT NULL,
    UNIQUE (shop, source_system, external_order_ref)
  )`,
  `CREATE TABLE IF NOT EXISTS decisions (
    order_id text NOT NULL,
    number bigint NOT NULL,
    shop text NOT NULL,
    product text NOT NULL,
    location text NOT NULL,
    quantity bigint NOT NULL,
    status text NOT NULL,
    successor bigint,
    PRIMARY KEY (order_id, number)
  )`,
  `CREATE TABLE IF NOT EXISTS instructions (
    shop text NOT NULL,
    idempotency_key text NOT NULL,
    order_id text NOT NULL UNIQUE,
    decision bigint NOT NULL,
    product text NOT NULL,
    location text NOT NULL,
    quantity bigint NOT NULL,
    revision bigint NOT NULL,
    warehouse_ref text,
    PRIMARY KEY (shop, idempotency_key)
  )`,
];
