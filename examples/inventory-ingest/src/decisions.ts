import type { Queries } from "./database.ts";

/** What is to be sent, and from where. */
export interface Decision {
  readonly number: number;
  readonly product: string;
  readonly location: string;
  readonly quantity: number;
  readonly status: "current" | "superseded";
  /** The number of the decision that has taken its place. */
  readonly successor: number | null;
}

/** What a decision is made for. */
export interface Wanted {
  readonly orderId: string;
  readonly shop: string;
  readonly product: string;
  readonly quantity: number;
}

export class OutOfStockError extends Error {
  override readonly name = "OutOfStockError";
}

const CANDIDATES = `
  SELECT location FROM stock
  WHERE shop = $1 AND product = $2 AND quantity - reserved >= $3
  ORDER BY quantity - reserved DESC, location LIMIT 10`;

/** Looks again under the row's lock: a rival may have reserved what was read. */
const RESERVE = `
  UPDATE stock SET reserved = reserved + $4
  WHERE shop = $1 AND product = $2 AND location = $3 AND quantity - reserved >= $4
  RETURNING location`;

const GIVE_BACK = `
  UPDATE stock SET reserved = reserved - $4
  WHERE shop = $1 AND product = $2 AND location = $3`;

const NUMBER = `
  UPDATE orders SET decisions_made = decisions_made + 1 WHERE id = $1
  RETURNING decisions_made AS number`;

const DECIDE = `
  INSERT INTO decisions (order_id, number, shop, product, location, quantity, status)
  VALUES ($1, $2, $3, $4, $5, $6, 'current')
  RETURNING number, product, location, quantity, status, successor`;

const DROP = `
  DELETE FROM decisions WHERE order_id = $1 AND status = 'current'
  RETURNING product, location, quantity`;

const LIST = `
  SELECT number, product, location, quantity, status, successor
  FROM decisions WHERE order_id = $1 ORDER BY number`;

const CURRENT = `
  SELECT number, product, location, quantity, status, successor
  FROM decisions WHERE order_id = $1 AND status = 'current'`;

const SUPERSEDE = `
  UPDATE decisions SET status = 'superseded', successor = $3
  WHERE order_id = $1 AND number = $2`;

const OVERSOLD = `
  SELECT location FROM stock
  WHERE shop = $1 AND product = $2 AND location = $3 AND reserved > quantity`;

/** All of these need the order's row, which whoever decides about an order has locked. */

/** @throws OutOfStockError where no location has enough */
export async function decide(
  tx: Queries,
  { orderId, shop, product, quantity }: Wanted,
): Promise<Decision> {
  const places = await tx.all<{ readonly location: string }>(CANDIDATES, shop, product, quantity);
  for (const { location } of places) {
    const reserved = await tx.all(RESERVE, shop, product, location, quantity);
    if (reserved.length === 0) continue;
    const [made] = await tx.all<{ readonly number: number }>(NUMBER, orderId);
    const number = made?.number ?? 0;
    const values = [orderId, number, shop, product, location, quantity] as const;
    const [decision] = await tx.all<Decision>(DECIDE, ...values);
    if (decision !== undefined) return decision;
  }
  throw new OutOfStockError(`No location has ${quantity} of ${product}.`);
}

/** Forgets what was decided for an order that nobody was told of. */
export async function drop(tx: Queries, shop: string, orderId: string): Promise<void> {
  const [dropped] = await tx.all<Decision>(DROP, orderId);
  if (dropped !== undefined) await giveBack(tx, shop, dropped);
}

/** Puts another decision in the place of one whose location has less than it has promised. */
export async function replaceOversold(
  tx: Queries,
  shop: string,
  orderId: string,
): Promise<Decision | undefined> {
  const [decision] = await tx.all<Decision>(CURRENT, orderId);
  if (decision === undefined) return undefined;
  const { number, product, location, quantity } = decision;
  const oversold = await tx.all(OVERSOLD, shop, product, location);
  if (oversold.length === 0) return undefined;
  // Given back only afterwards, so that the same location is not chosen again.
  const successor = await decide(tx, { orderId, shop, product, quantity });
  await tx.all(SUPERSEDE, orderId, number, successor.number);
  await giveBack(tx, shop, decision);
  return successor;
}

/** All that was decided for an order and not dropped, in order. */
export async function decisionsOf(queries: Queries, orderId: string): Promise<readonly Decision[]> {
  return await queries.all<Decision>(LIST, orderId);
}

export async function currentDecision(tx: Queries, orderId: string): Promise<Decision | undefined> {
  const [decision] = await tx.all<Decision>(CURRENT, orderId);
  return decision;
}

async function giveBack(tx: Queries, shop: string, { product, location, quantity }: Decision) {
  await tx.all(GIVE_BACK, shop, product, location, quantity);
}
