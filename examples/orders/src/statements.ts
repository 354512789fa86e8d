import type { Value, Write } from "./database.ts";
import { type OrderRequest, OutOfStockError, type Receipt } from "./order.ts";

const TAKE_STOCK = `
  UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?`;

const RESERVE = `
  INSERT INTO reservations (id, customer, idempotency_key, sku, quantity, amount_cents)
  SELECT ?, ?, ?, sku, ?, price_cents * ? FROM stock WHERE sku = ?`;

const END_RESERVATION = "DELETE FROM reservations WHERE id = ?";

const RETURN_STOCK = "UPDATE stock SET available = available + ? WHERE sku = ?";

const SAVE_ORDER = `
  INSERT INTO orders
    (id, customer, idempotency_key, token, sku, quantity, charge_id, amount_cents)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;

const ANNOUNCE = `
  INSERT INTO outbox (id, name, order_id, token, published) VALUES (?, 'order-placed', ?, ?, 0)`;

const MARK_PUBLISHED = "UPDATE outbox SET published = 1 WHERE id = ? AND published = 0";

export const FIND_RESERVATION = "SELECT amount_cents FROM reservations WHERE id = ?";

/** For operators, who know no derived keys. */
export const FIND_RESERVATION_OF = `
  SELECT id FROM reservations WHERE customer = ? AND idempotency_key = ?`;

export const FIND_ORDER = `
  SELECT id, charge_id, amount_cents FROM orders
  WHERE customer = ? AND idempotency_key = ? AND token = ?`;

export const LIST_UNPUBLISHED = `
  SELECT id, name, order_id FROM outbox WHERE published = 0 ORDER BY token, id LIMIT 100`;

/** What is ordered, by whom and under which key. */
export interface Placed {
  readonly customer: string;
  readonly key: string;
  readonly request: OrderRequest;
}

export function takingStock(
  reservation: string,
  { customer, key, request }: Placed,
): readonly Write[] {
  const { sku, quantity } = request;
  const none = () => new OutOfStockError(`There are not ${quantity} of ${sku} left.`);
  return [
    { sql: TAKE_STOCK, values: [quantity, sku, quantity], ifNone: none },
    {
      sql: RESERVE,
      values: [reservation, customer, key, quantity, quantity, sku],
      ifNone: none,
    },
  ];
}

export function returningStock(reservation: string, { request }: Placed): readonly Write[] {
  return [
    ended(reservation),
    { sql: RETURN_STOCK, values: [request.quantity, request.sku], ifNone: gone },
  ];
}

/** The order and the news of it, in place of its reservation. */
export function savingOrder(
  reservation: string,
  { customer, key, request }: Placed,
  token: number,
  { orderId, chargeId, amountCents }: Receipt,
): readonly Write[] {
  const { sku, quantity } = request;
  const order: readonly Value[] = [orderId, customer, key, token];
  return [
    { sql: SAVE_ORDER, values: [...order, sku, quantity, chargeId, amountCents], ifNone: gone },
    { sql: ANNOUNCE, values: [`placed-${orderId}`, orderId, token], ifNone: gone },
    ended(reservation),
  ];
}

export function markingPublished(eventId: string): readonly Write[] {
  return [{ sql: MARK_PUBLISHED, values: [eventId], ifNone: gone }];
}

/** Whoever finds no row to delete comes second, and must not sell or give back the same goods again. */
function ended(reservation: string): Write {
  return { sql: END_RESERVATION, values: [reservation], ifNone: gone };
}

function gone(): Error {
  return new Error("A row that should be there is not: somebody else has worked on this order.");
}
