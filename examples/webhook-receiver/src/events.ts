export interface Deposit {
  readonly account: string;
  readonly amountCents: number;
  readonly currency: string;
}

/** An event that the receiver cannot read. The sender delivers it again, and its logs show the 422. */
class UnreadableEventError extends Error {
  override readonly name = "UnreadableEventError";
  readonly statusCode = 422;
}

/**
 * The deposit in an event.
 *
 * @returns nothing if the event is of another type
 * @throws UnreadableEventError
 */
export function depositIn(body: unknown): Deposit | undefined {
  const { type, data } = membersOf(body);
  if (type !== "deposit.received") return undefined;
  const { account, amountCents, currency } = membersOf(data);
  const isReadable = typeof account === "string" && typeof currency === "string";
  if (isReadable && Number.isSafeInteger(amountCents)) {
    return { account, currency, amountCents: amountCents as number };
  }
  throw new UnreadableEventError("Expected account, amountCents and currency.");
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
