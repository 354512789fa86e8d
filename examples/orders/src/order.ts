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

/** The order is wrong in itself. Nothing was started, and its key is not used up. */
export class InvalidOrderError extends Error {
  override readonly name = "InvalidOrderError";
}

/** An outcome that the customer is told, and every duplicate as well. */
export class OutOfStockError extends Error {
  override readonly name = "OutOfStockError";
  readonly code = "out_of_stock";
}

const QUANTITY_MAX = 1_000;
/** No spaces and no case folding: databases disagree about both when they compare texts. */
const NAME = /^[\x21-\x7e]{1,200}$/;

/** @throws InvalidOrderError that says what was expected */
export function validate(customer: string, key: string, request: OrderRequest): void {
  const { sku, quantity, card } = request;
  for (const [name, value] of Object.entries({ customer, key, sku, card })) {
    if (typeof value === "string" && NAME.test(value)) continue;
    throw new InvalidOrderError(`${name}: expected 1 to 200 ASCII characters without spaces.`);
  }
  if (!Number.isSafeInteger(quantity) || quantity < 1 || quantity > QUANTITY_MAX) {
    throw new InvalidOrderError(`quantity: expected a whole number from 1 to ${QUANTITY_MAX}.`);
  }
}

export function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} €`;
}
