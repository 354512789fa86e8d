import { randomUUID } from "node:crypto";
import type { Database, Queries } from "./database.ts";
import {
  type Decision,
  decide,
  decisionsOf,
  drop,
  replaceOversold,
  type Wanted,
} from "./decisions.ts";
import { type Instruction, instruct, instructionOf, type Teller, tell } from "./instructions.ts";

/** What tells an order from all others, whoever sends it how often. */
export interface OrderRef {
  readonly shop: string;
  readonly sourceSystem: string;
  readonly externalOrderRef: string;
}

export interface OrderRequest extends OrderRef {
  readonly product: string;
  readonly quantity: number;
}

/** Where an order is: decided and not dispatched, or with its instruction. */
export type Routed =
  | { readonly orderId: string; readonly idempotent: false; readonly decision: Decision }
  | { readonly orderId: string; readonly idempotent: true; readonly instruction: Instruction };

export interface Dispatched {
  readonly instruction: Instruction;
  /** Whether the warehouse had been told all this before. */
  readonly idempotent: boolean;
}

export interface Reallocated {
  /** The decision that has taken the place of an oversold one, if there was one. */
  readonly successor: Decision | undefined;
  /** The instruction as it is now, where the order was dispatched. */
  readonly instruction: Instruction | undefined;
}

export class UnknownOrderError extends Error {
  override readonly name = "UnknownOrderError";
}

/** Writes in every case, so that the row is locked: of several who route an order each has its turn. */
const UPSERT = `
  INSERT INTO orders
    (id, shop, source_system, external_order_ref, product, quantity, status, decisions_made)
  VALUES ($1, $2, $3, $4, $5, $6, 'open', 0)
  ON CONFLICT (shop, source_system, external_order_ref) DO UPDATE SET
    product = CASE orders.status WHEN 'open' THEN excluded.product ELSE orders.product END,
    quantity = CASE orders.status WHEN 'open' THEN excluded.quantity ELSE orders.quantity END
  RETURNING id, status`;

const DISPATCH = `
  UPDATE orders SET status = 'dispatched'
  WHERE shop = $1 AND source_system = $2 AND external_order_ref = $3 RETURNING id, status`;

const LOCKED = `
  UPDATE orders SET status = status
  WHERE shop = $1 AND source_system = $2 AND external_order_ref = $3 RETURNING id, status`;

const FOUND = `
  SELECT id, status FROM orders
  WHERE shop = $1 AND source_system = $2 AND external_order_ref = $3`;

interface OrderRow {
  readonly id: string;
  readonly status: "open" | "dispatched";
}

/** Decides where an order is sent from, and tells the warehouse. */
export class Routing {
  readonly #database: Database;
  readonly #teller: Teller;

  constructor(teller: Teller) {
    this.#database = teller.database;
    this.#teller = teller;
  }

  /**
   * Routes an order: the same one again, as long as nobody was told of it, is decided anew.
   *
   * @throws OutOfStockError where no location has enough: then nothing has changed
   */
  async route(request: OrderRequest): Promise<Routed> {
    const { shop, sourceSystem, externalOrderRef, product, quantity } = request;
    if (!Number.isSafeInteger(quantity) || quantity < 1) {
      throw new TypeError(`quantity: expected a whole number from 1, got ${quantity}.`);
    }
    return await this.#database.transaction(async (tx) => {
      const values = [randomUUID(), shop, sourceSystem, externalOrderRef, product, quantity];
      const { id: orderId, status } = the(await tx.all<OrderRow>(UPSERT, ...values));
      const instruction = status === "open" ? undefined : await instructionOf(tx, orderId);
      if (instruction !== undefined) return { orderId, idempotent: true, instruction };
      await drop(tx, shop, orderId);
      const wanted: Wanted = { orderId, shop, product, quantity };
      return { orderId, idempotent: false, decision: await decide(tx, wanted) };
    });
  }

  /**
   * Tells the warehouse what was decided, once. The order counts as dispatched from before that on, so
   * that nothing is decided anew about what the warehouse is being told.
   *
   * @throws UnknownOrderError, DispatchRefusedError; WarehouseRefusedError, and what the engine throws:
   *   then the same call again goes on with it
   */
  async dispatch(ref: OrderRef, idempotencyKey = defaultKeyOf(ref)): Promise<Dispatched> {
    const instruction = await this.#database.transaction(async (tx) => {
      const { id } = await found(tx, DISPATCH, ref);
      return await instruct(tx, ref.shop, id, idempotencyKey);
    });
    if (instruction.warehouseRef !== null) return { instruction, idempotent: true };
    const { warehouseRef, replayed } = await tell(this.#teller, ref.shop, instruction);
    return { instruction: { ...instruction, warehouseRef }, idempotent: replayed };
  }

  /** Sends an order from somewhere else where its location has less than it has promised. */
  async reallocate(ref: OrderRef): Promise<Reallocated> {
    const { successor, known } = await this.#database.transaction(async (tx) => {
      const { id } = await found(tx, LOCKED, ref);
      const replaced = await replaceOversold(tx, ref.shop, id);
      return { successor: replaced, known: await instructionOf(tx, id) };
    });
    if (known === undefined) return { successor, instruction: undefined };
    // Also where there is no successor: whoever decided it may have died before the warehouse knew.
    const { instruction } = await this.dispatch(ref, known.idempotencyKey);
    return { successor, instruction };
  }

  /** All decisions about an order, the superseded ones too. */
  async decisions(ref: OrderRef): Promise<readonly Decision[]> {
    const { id } = await found(this.#database, FOUND, ref);
    return await decisionsOf(this.#database, id);
  }
}

function defaultKeyOf({ sourceSystem, externalOrderRef }: OrderRef): string {
  return `${sourceSystem}:${externalOrderRef}`;
}

async function found(queries: Queries, statement: string, ref: OrderRef): Promise<OrderRow> {
  const { shop, sourceSystem, externalOrderRef } = ref;
  return the(await queries.all<OrderRow>(statement, shop, sourceSystem, externalOrderRef));
}

function the<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new UnknownOrderError("There is no such order.");
  return row;
}
