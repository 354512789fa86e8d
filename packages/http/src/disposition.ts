export const DISPOSITIONS = ["record", "release", "hold", "stub"] as const;

/**
 * What becomes of a key once its handler has responded:
 * - `record`: duplicates get the response again
 * - `release`: nothing was done, and the next request with the key runs
 * - `hold`: the outcome is unknown; duplicates get 409 `outcome-unknown` until an operator settles it
 * - `stub`: it was done, but its response cannot be kept; duplicates get 409 `response-not-stored`, and nothing runs
 */
export type Disposition = (typeof DISPOSITIONS)[number];

/** What becomes of a key whose handler has responded with 5xx. */
export type On5xx = "record" | "release" | "hold";

/**
 * By RFC 9110 these say that nothing was done: they speak of credentials, of conditions or of the
 * transmission. 408 and 425 are not among them: inside a handler they come from a service that it has called.
 */
const NOTHING_DONE: ReadonlySet<number> = new Set([
  ...[401, 403, 407],
  ...[412, 413, 414, 415],
  ...[421, 429, 431],
]);

/** Their bodies are about the request's conditions and ranges, and wrong for another request. */
const NOT_STORABLE: ReadonlySet<number> = new Set([206, 304, 416]);

/** Whether a status says that nothing was done. */
export function saysNothingDone(status: number): boolean {
  return NOTHING_DONE.has(status);
}

/** How a response is kept that counts as the outcome. */
export function keptAs(status: number, isWhole: boolean): "record" | "stub" {
  return isWhole && !NOT_STORABLE.has(status) ? "record" : "stub";
}

/** The policy of the engine that a disposition stands for. A stub is a record without its body. */
export function policyOf(disposition: Disposition | undefined): On5xx | undefined {
  return disposition === "stub" ? "record" : disposition;
}
