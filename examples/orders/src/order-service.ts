import type { Engine, Outcome } from "@idemkit/engine";
import type Database from "better-sqlite3";
import type { Charge, PaymentProvider } from "./payment-provider.ts";

export interface OrderRequest {
  readonly sku: string;
  readonly quantity: number;
  readonly card: string;
}

export interface Receipt {
  readonly orderId: string;
  readonly chargeId: string;
  readonly amountCents: number;
}

class OutOfStockError extends Error {
  override readonly name = "OutOfStockError";
}

/** Hears of each effect as it happens, for those who want to watch. */
export type Watcher = (effect: string) => void;

/** The operation whose keys these are. Each customer's keys are apart from all others'. */
function scopeOf(customer: string): readonly string[] {
  return ["shop", customer, "place-order"];
}

/**
 * Places orders: reserve stock → charge → save → publish. The key makes the four one operation:
 * sent once or twenty times, by one process or many, there is one order and one charge.
 */
export class OrderService {
  readonly #engine: Engine;
  readonly #db: Database.Database;
  readonly #provider: PaymentProvider;
  readonly #watch: Watcher;

  constructor(
    engine: Engine,
    db: Database.Database,
    provider: PaymentProvider,
    watch: Watcher = () => undefined,
  ) {
    this.#engine = engine;
    this.#db = db;
    this.#provider = provider;
    this.#watch = watch;
  }

  async placeOrder(
    customer: string,
    key: string,
    request: OrderRequest,
  ): Promise<Outcome<Receipt>> {
    // What is wrong in itself is refused before the key is used up.
    validate(request);
    return await this.#engine.execute(scopeOf(customer), key, request, async () => {
      const amountCents = this.#reserveStock(request);
      const charge = await this.#charge(customer, key, request, amountCents);
      return this.saveOrder(customer, request, charge);
    });
  }

  /** Saves the order for a charge and announces it. Also what an operator does by hand. */
  saveOrder(customer: string, { sku, quantity }: OrderRequest, charge: Charge): Receipt {
    const count = "SELECT count(*) + 1 AS number FROM orders";
    const { number } = this.#db.prepare(count).get() as { readonly number: number };
    const orderId = `o-${number}`;
    this.#db
      .prepare("INSERT INTO orders (id, customer, sku, quantity, charge_id) VALUES (?, ?, ?, ?, ?)")
      .run(orderId, customer, sku, quantity, charge.id);
    this.#watch(`save ${orderId}`);
    this.#db.prepare("INSERT INTO events (name, order_id) VALUES ('order-placed', ?)").run(orderId);
    this.#watch("publish order-placed");
    return { orderId, chargeId: charge.id, amountCents: charge.amountCents };
  }

  /** @returns what it costs */
  #reserveStock({ sku, quantity }: OrderRequest): number {
    const row = this.#db
      .prepare(
        `UPDATE stock SET available = available - @quantity
         WHERE sku = @sku AND available >= @quantity
         RETURNING price_cents * @quantity AS amountCents`,
      )
      .get({ sku, quantity }) as { readonly amountCents: number } | undefined;
    if (row === undefined) throw new OutOfStockError(`There are not ${quantity} of ${sku} left.`);
    this.#watch(`reserve ${quantity} × ${sku}`);
    return row.amountCents;
  }

  async #charge(
    customer: string,
    reference: string,
    { card, sku, quantity }: OrderRequest,
    amountCents: number,
  ): Promise<Charge> {
    try {
      const charge = await this.#provider.charge(card, { customer, reference, amountCents });
      this.#watch(`charge ${euros(amountCents)}`);
      return charge;
    } catch (error) {
      this.#db
        .prepare("UPDATE stock SET available = available + @quantity WHERE sku = @sku")
        .run({ sku, quantity });
      this.#watch(`charge declined, give ${quantity} × ${sku} back`);
      throw error;
    }
  }
}

function validate({ sku, quantity, card }: OrderRequest): void {
  if (sku === "" || card === "") throw new TypeError("An order needs a sku and a card.");
  if (!Number.isSafeInteger(quantity) || quantity < 1) {
    throw new TypeError(`An order needs a quantity of 1 or more, got ${quantity}.`);
  }
}

export function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} €`;
}
