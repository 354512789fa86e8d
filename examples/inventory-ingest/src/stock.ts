import type { Verdict } from "@idemkit/engine";
import type { Database } from "./database.ts";

export interface StockLine {
  readonly product: string;
  readonly location: string;
  /** In a snapshot how many there are, in a delta how many more: less than none where they went. */
  readonly quantity: number;
}

/** How many there are on a day. It is idempotent by nature, but for one that comes late, after another. */
export interface AbsoluteBatch {
  readonly mode: "absolute";
  /** Such as `2026-11-21`. */
  readonly day: string;
  readonly lines: readonly StockLine[];
}

/** How many came and went. It is not idempotent by nature, which is why it has a key. */
export interface DeltaBatch {
  readonly mode: "delta";
  readonly idempotencyKey: string;
  readonly lines: readonly StockLine[];
}

export interface AbsoluteAnswer {
  readonly lines_changed: number;
  readonly lines_unchanged: number;
}

export interface DeltaAnswer {
  readonly lines_applied: number;
  /** Applied before, by this batch or by another one under the same key. */
  readonly lines_deduped: number;
  /** The same key, product and location with another quantity: the first counts. */
  readonly lines_conflicting: number;
}

/** Answers the lines that differ from what is known of that day: only they count from here on. */
const COUNT = `
  INSERT INTO daily_stock (shop, product, location, day, quantity)
  SELECT $1, value ->> 'product', value ->> 'location', $3, CAST(value ->> 'quantity' AS BIGINT)
  FROM each_of($2) AS line WHERE true ORDER BY 2, 3
  ON CONFLICT (shop, product, location, day) DO UPDATE SET quantity = excluded.quantity
  WHERE daily_stock.quantity <> excluded.quantity
  RETURNING product, location, quantity`;

/** A count of an earlier day that comes late does not undo a later one. */
const SET = `
  INSERT INTO stock (shop, product, location, quantity, reserved, counted_on)
  SELECT $1, value ->> 'product', value ->> 'location', CAST(value ->> 'quantity' AS BIGINT), 0, $3
  FROM each_of($2) AS line WHERE true ORDER BY 2, 3
  ON CONFLICT (shop, product, location) DO UPDATE SET
    quantity = excluded.quantity, counted_on = excluded.counted_on
  WHERE stock.counted_on <= excluded.counted_on`;

/** Rows are locked in the order of their keys, so that batches do not deadlock. */
const ADD = `
  INSERT INTO stock (shop, product, location, quantity, reserved, counted_on)
  SELECT $1, value ->> 'product', value ->> 'location', CAST(value ->> 'quantity' AS BIGINT), 0, ''
  FROM each_of($2) AS line WHERE true ORDER BY 2, 3
  ON CONFLICT (shop, product, location) DO UPDATE SET quantity = stock.quantity + excluded.quantity`;

const LOG = `
  INSERT INTO stock_log (shop, product, location, mode, batch, quantity)
  SELECT $1, value ->> 'product', value ->> 'location', $3, $4,
    CAST(value ->> 'quantity' AS BIGINT)
  FROM each_of($2) AS line`;

export async function ingestAbsolute(
  database: Database,
  shop: string,
  { day, lines }: AbsoluteBatch,
): Promise<AbsoluteAnswer> {
  checkLines(lines);
  if (!/^\d{4}-\d\d-\d\d$/.test(day)) throw new TypeError(`day: expected 2026-11-21, got ${day}.`);
  const distinct = new Map(lines.map((line) => [placeOf(line), line]));
  if (distinct.size < lines.length) {
    throw new TypeError("lines: expected each product once at each location.");
  }
  return await database.transaction(async (tx) => {
    const changed = await tx.all<StockLine>(COUNT, shop, JSON.stringify(lines), day);
    if (changed.length > 0) {
      const list = JSON.stringify(changed);
      await tx.all(SET, shop, list, day);
      await tx.all(LOG, shop, list, "absolute", day);
    }
    return { lines_changed: changed.length, lines_unchanged: lines.length - changed.length };
  });
}

/**
 * Adds each line once, whoever sends it how often, alone or among others: the records of the lines, the
 * stock and the log are one commit. A process that dies leaves nothing behind, and one that sends the
 * same lines meanwhile waits for it.
 */
export async function ingestDelta(
  database: Database,
  shop: string,
  { idempotencyKey, lines }: DeltaBatch,
): Promise<DeltaAnswer> {
  checkLines(lines);
  if (typeof idempotencyKey !== "string" || idempotencyKey === "") {
    throw new TypeError("idempotencyKey: a delta needs one, as adding twice is not adding once.");
  }
  const keyed = lines.map((line) => ({ key: keyOf(idempotencyKey, line), payload: line }));
  return await database.transaction(async (tx, engine) => {
    const scope = [shop, "inventory-delta"];
    const verdicts = await engine.executeMany(scope, keyed, async (fresh) => {
      const list = JSON.stringify(fresh.map(({ payload }) => payload));
      await tx.all(ADD, shop, list);
      await tx.all(LOG, shop, list, "delta", idempotencyKey);
      return fresh.map(({ key }) => ({ key, value: null }));
    });
    return answerOf(verdicts);
  });
}

/** JSON keeps ["a", "b:c"] and ["a:b", "c"] apart, which a separator would not. */
function keyOf(idempotencyKey: string, { product, location }: StockLine): string {
  return JSON.stringify([idempotencyKey, product, location]);
}

/** One text for each product at each location. */
export function placeOf({ product, location }: Omit<StockLine, "quantity">): string {
  return JSON.stringify([product, location]);
}

function answerOf(verdicts: readonly Verdict<null>[]): DeltaAnswer {
  const count = (verdict: Verdict<null>["verdict"]) =>
    verdicts.filter((each) => each.verdict === verdict).length;
  const answer = {
    lines_applied: count("executed"),
    lines_deduped: count("replayed"),
    lines_conflicting: count("conflict"),
  };
  const counted = answer.lines_applied + answer.lines_deduped + answer.lines_conflicting;
  if (counted === verdicts.length) return answer;
  // All records of this scope are written by transactions like this one, which leave nothing open.
  throw new Error(`${verdicts.length - counted} lines are open, which nobody has left so.`);
}

/** What is wrong in itself is refused before a key is used up. */
function checkLines(lines: readonly StockLine[]): void {
  for (const { product, location, quantity } of lines) {
    if (product !== "" && location !== "" && Number.isSafeInteger(quantity)) continue;
    throw new TypeError("lines: expected a product, a location and a whole quantity in each.");
  }
}
