import { randomUUID } from "node:crypto";
import type {
  ClaimContext,
  ErrorPolicy,
  Finding,
  Outcome,
  TransactionalContext,
  TransactionalEngine,
} from "@idemkit/engine";
import type { ShopDatabase } from "./database.ts";
import { euros, type OrderRequest, OutOfStockError, type Receipt, validate } from "./order.ts";
import { CardDeclinedError, type Charge, type PaymentProvider } from "./payment-provider.ts";
import {
  FIND_ORDER,
  FIND_RESERVATION,
  FIND_RESERVATION_OF,
  type Placed,
  returningStock,
  savingOrder,
  takingStock,
} from "./statements.ts";

/** Hears of each effect when it has happened, for those who want to watch, or to die there. */
export type Watcher = (effect: string) => void | Promise<void>;

/** The operation whose keys these are. Each customer's keys are apart from all others'. */
function scopeOf(customer: string): readonly string[] {
  return ["shop", customer, "place-order"];
}

/**
 * Declined is declined, for every duplicate too. After anything else the customer may come again with
 * the same key: each step is done once whatever happens, as everybody in them knows its derived key.
 */
function policyFor(error: unknown): ErrorPolicy {
  const isOutcome = error instanceof CardDeclinedError || error instanceof OutOfStockError;
  return isOutcome ? "record" : "release";
}

/**
 * Places orders: reserve stock → charge → save → publish. The key makes them one operation: sent once
 * or twenty times, by one process or many, there is one order, one charge and one event.
 *
 * Elsewhere one would write a repository for that: `get` an attempt, `start` it atomically,
 * `complete` it, `fail` it. Here that is the engine with its store. What the service keeps is its
 * own data: a receipt is not stored twice but read from the order.
 */
export class OrderService<Tx, IsSync extends boolean> {
  readonly #database: ShopDatabase<Tx, IsSync>;
  readonly #engine: TransactionalEngine<Tx, IsSync>;
  readonly #provider: PaymentProvider;
  readonly #watch: Watcher;

  constructor(
    database: ShopDatabase<Tx, IsSync>,
    provider: PaymentProvider,
    options: { readonly engine?: TransactionalEngine<Tx, IsSync>; readonly watch?: Watcher } = {},
  ) {
    const { engine = database.engine, watch = () => undefined } = options;
    this.#database = database;
    this.#engine = engine;
    this.#provider = provider;
    this.#watch = watch;
  }

  /** @throws InvalidOrderError before anything starts; CardDeclinedError, OutOfStockError */
  async placeOrder(
    customer: string,
    key: string,
    request: OrderRequest,
  ): Promise<Outcome<Receipt>> {
    validate(customer, key, request);
    const placed = { customer, key, request };
    return await this.#engine.execute<OrderRequest, Receipt>(
      scopeOf(customer),
      key,
      request,
      (context) => this.#place(placed, context),
      {
        steps: true,
        onError: policyFor,
        // The order is the only place that has the receipt.
        maxResultBytes: 0,
        rebuild: ({ token }) => this.#receipt(customer, key, token),
      },
    );
  }

  /** What an operator does for an order that was charged, and whose outcome is open. */
  async saveByHand(placed: Placed, token: number, charge: Charge): Promise<Receipt> {
    const [row] = await this.#database.rows(FIND_RESERVATION_OF, [placed.customer, placed.key]);
    const receipt = receiptFor(charge);
    await this.#database.write(savingOrder(String(row?.id), placed, token, receipt));
    await this.#watch("save order and event");
    return receipt;
  }

  async #place(placed: Placed, context: TransactionalContext<Tx, IsSync>): Promise<Receipt> {
    const reservation = context.deriveKey("reserve");
    await context.step("reserve", () => this.#reserve(reservation, placed), {
      reconcile: async () => happenedIf((await this.#reservedCents(reservation)) !== undefined),
    });
    const charge = await this.#charge(placed, context);
    const receipt = receiptFor(charge);
    const writes = savingOrder(reservation, placed, context.token, receipt);
    const saved = await context.transaction<Receipt>((tx) =>
      this.#database.writeIn(tx, writes, receipt),
    );
    await this.#watch("save order and event");
    return saved;
  }

  async #reserve(reservation: string, placed: Placed): Promise<void> {
    const { quantity, sku } = placed.request;
    await this.#database.write(takingStock(reservation, placed));
    await this.#watch(`reserve ${quantity} × ${sku}`);
  }

  async #charge(placed: Placed, context: TransactionalContext<Tx, IsSync>): Promise<Charge> {
    const idempotencyKey = context.deriveKey("charge");
    try {
      await context.step("charge", () => this.#pay(placed, context), {
        reconcile: () => this.#askAbout(idempotencyKey),
      });
    } catch (error) {
      if (error instanceof CardDeclinedError) await this.#giveBack(placed, context);
      throw error;
    }
    const charge = await this.#provider.chargeFor(idempotencyKey);
    if (charge === undefined) throw new Error("The provider has lost a charge that it has booked.");
    return charge;
  }

  async #pay({ customer, key, request }: Placed, { deriveKey }: ClaimContext): Promise<void> {
    const amountCents = await this.#reservedCents(deriveKey("reserve"));
    if (amountCents === undefined) {
      throw new CardDeclinedError("The card was declined, and the stock given back.");
    }
    const charge = { customer, reference: key, amountCents };
    await this.#provider.charge(request.card, charge, { idempotencyKey: deriveKey("charge") });
    await this.#watch(`charge ${euros(amountCents)}`);
  }

  /** The saga's way back: who cannot pay keeps no stock from others. */
  async #giveBack(placed: Placed, context: TransactionalContext<Tx, IsSync>): Promise<void> {
    const { quantity, sku } = placed.request;
    const reservation = context.deriveKey("reserve");
    const giveBack = async () => {
      await this.#database.write(returningStock(reservation, placed));
      await this.#watch(`declined, give ${quantity} × ${sku} back`);
    };
    await context.step("give-back", giveBack, {
      reconcile: async () => happenedIf((await this.#reservedCents(reservation)) === undefined),
    });
  }

  /** Whether an interrupted charge was booked is known by its provider alone. */
  async #askAbout(idempotencyKey: string): Promise<Finding<void>> {
    try {
      return happenedIf((await this.#provider.chargeFor(idempotencyKey)) !== undefined);
    } catch {
      return "still-unknown";
    }
  }

  async #reservedCents(reservation: string): Promise<number | undefined> {
    const [row] = await this.#database.rows(FIND_RESERVATION, [reservation]);
    return row === undefined ? undefined : Number(row.amount_cents);
  }

  async #receipt(customer: string, key: string, token: number): Promise<Receipt> {
    const [order] = await this.#database.rows(FIND_ORDER, [customer, key, token]);
    if (order === undefined) throw new Error("The order of this key was deleted.");
    return {
      orderId: String(order.id),
      chargeId: String(order.charge_id),
      amountCents: Number(order.amount_cents),
    };
  }
}

/** A step keeps no result of its own: what came of it is read where it is. */
function happenedIf(isThere: boolean): Finding<void> {
  return isThere ? { happened: undefined } : "did-not-happen";
}

function receiptFor({ id, amountCents }: Charge): Receipt {
  return { orderId: `o-${randomUUID()}`, chargeId: id, amountCents };
}
