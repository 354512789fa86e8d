import type { Database, Queries } from "./database.ts";
import { currentDecision, type Decision } from "./decisions.ts";
import { type Warehouse, WarehouseRefusedError } from "./warehouse.ts";

/** What the warehouse is to do for an order: one for each shop and key, and one for each order. */
export interface Instruction {
  readonly idempotencyKey: string;
  readonly product: string;
  readonly location: string;
  readonly quantity: number;
  /** 1 at first, and one more for each decision that has taken the place of another. */
  readonly revision: number;
  /** What the warehouse has answered; null until it has. */
  readonly warehouseRef: string | null;
}

export class DispatchRefusedError extends Error {
  override readonly name = "DispatchRefusedError";
}

/** What the warehouse was told, but nobody knows whether it has heard. */
class UnclearTellError extends Error {
  override readonly name = "UnclearTellError";
}

const WAIT_MS = 10_000;

const COLUMNS = `
  idempotency_key AS "idempotencyKey", product, location, quantity, revision,
  warehouse_ref AS "warehouseRef"`;

const OF_ORDER = `SELECT ${COLUMNS} FROM instructions WHERE order_id = $1`;

const INSTRUCT = `
  INSERT INTO instructions
    (shop, idempotency_key, order_id, decision, product, location, quantity, revision)
  VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
  ON CONFLICT (shop, idempotency_key) DO UPDATE SET
    decision = excluded.decision,
    product = excluded.product,
    location = excluded.location,
    quantity = excluded.quantity,
    revision = CASE instructions.decision WHEN excluded.decision
      THEN instructions.revision ELSE instructions.revision + 1 END,
    warehouse_ref = CASE instructions.decision WHEN excluded.decision
      THEN instructions.warehouse_ref END
  WHERE instructions.order_id = excluded.order_id
  RETURNING ${COLUMNS}`;

/** An answer to an earlier revision comes too late. */
const TOLD = `
  UPDATE instructions SET warehouse_ref = $4
  WHERE shop = $1 AND idempotency_key = $2 AND revision = $3`;

export async function instructionOf(
  queries: Queries,
  orderId: string,
): Promise<Instruction | undefined> {
  const [instruction] = await queries.all<Instruction>(OF_ORDER, orderId);
  return instruction;
}

/**
 * Writes down what the warehouse is to be told, under the order's lock: once for each decision.
 *
 * @throws DispatchRefusedError where the key belongs to another order, or the order to another key
 */
export async function instruct(
  tx: Queries,
  shop: string,
  orderId: string,
  key: string,
): Promise<Instruction> {
  const known = await instructionOf(tx, orderId);
  if (known !== undefined && known.idempotencyKey !== key) {
    throw new DispatchRefusedError("The order was dispatched under another key.");
  }
  const decision: Decision | undefined = await currentDecision(tx, orderId);
  if (decision === undefined) throw new DispatchRefusedError("Nothing is decided for the order.");
  const { number, product, location, quantity } = decision;
  const values = [shop, key, orderId, number, product, location, quantity] as const;
  const [instruction] = await tx.all<Instruction>(INSTRUCT, ...values);
  if (instruction !== undefined) return instruction;
  throw new DispatchRefusedError("The key belongs to another order.");
}

/**
 * Tells the warehouse each revision once. A process may die at any moment in here: whoever dispatches
 * again asks the warehouse, by the same key, whether it has heard, and tells it only if it has not.
 *
 * @returns the warehouse's own number, and whether it had been told before this call
 */
export async function tell(
  { database, warehouse, leaseMs }: Teller,
  shop: string,
  instruction: Instruction,
): Promise<{ readonly warehouseRef: string; readonly replayed: boolean }> {
  const { idempotencyKey, revision, product, location, quantity } = instruction;
  const shipment = { reference: JSON.stringify([shop, idempotencyKey]), revision };
  const goods = { product, location, quantity };
  const scope = [shop, "shipping-instruction"];
  const key = JSON.stringify([idempotencyKey, revision]);
  const { value, replayed } = await database.engine.execute(
    scope,
    key,
    goods,
    async ({ deriveKey, step }) => {
      const requestKey = deriveKey("tell-warehouse");
      const warehouseRef = await step(
        "tell-warehouse",
        () => warehouse.tell(requestKey, { ...shipment, ...goods }).catch(doubt),
        {
          reconcile: async () => {
            const found = await warehouse.find(requestKey);
            return found === undefined ? "did-not-happen" : { happened: found };
          },
        },
      );
      // In here, so that a process that dies before this leaves a record that is still open.
      await database.transaction((tx) =>
        tx.all(TOLD, shop, idempotencyKey, revision, warehouseRef),
      );
      return warehouseRef;
    },
    {
      steps: true,
      leaseMs,
      onDuplicate: { waitMs: WAIT_MS },
      onError: (error) => (error instanceof UnclearTellError ? "hold" : "release"),
    },
  );
  return { warehouseRef: value, replayed };
}

/** What telling takes. */
export interface Teller {
  readonly database: Database;
  readonly warehouse: Warehouse;
  /** After so long without a sign of life somebody else may go on. */
  readonly leaseMs: number;
}

/** A refusal is an answer; everything else, such as a time-out, leaves open what the warehouse knows. */
function doubt(error: unknown): never {
  if (error instanceof WarehouseRefusedError) throw error;
  throw new UnclearTellError("Nobody knows whether the warehouse has heard.", { cause: error });
}
