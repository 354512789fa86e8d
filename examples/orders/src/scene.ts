import { IdempotencyError, type Outcome } from "@idemkit/engine";
import { euros, type OrderRequest, type Receipt } from "./order.ts";

/** One scene of the story: what came in, what ran, what came out, and whether it is as promised. */
export interface Scene {
  readonly title: string;
  readonly came: readonly string[];
  readonly ran: readonly string[];
  readonly gave: readonly string[];
  readonly promises: readonly Promised[];
}

export interface Promised {
  readonly promise: string;
  readonly isKept: boolean;
}

export function promise(text: string, isKept: boolean): Promised {
  return { promise: text, isKept };
}

export function described(customer: string, key: string, request: OrderRequest): string {
  return `${customer} orders ${request.quantity} × ${request.sku}, key ${key}`;
}

/** What a call got, as one line. */
export function told({ value, replayed }: Outcome<Receipt>): string {
  const { orderId, chargeId, amountCents } = value;
  return `${orderId}, ${chargeId}, ${euros(amountCents)}${replayed ? ", replayed" : ""}`;
}

/** What a call failed with: the error, or the promise of the library that stands behind it. */
function failure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` ← ${error.cause.name}` : "";
  return error instanceof IdempotencyError ? `${error.code}${cause}` : error.name;
}

/** What came of a promise, either way. */
export type Result = { readonly outcome: Outcome<Receipt> } | { readonly error: unknown };

export async function resultOf(call: Promise<Outcome<Receipt>>): Promise<Result> {
  return await call.then(
    (outcome) => ({ outcome }),
    (error: unknown) => ({ error }),
  );
}

export function line(result: Result): string {
  return "outcome" in result ? told(result.outcome) : failure(result.error);
}
