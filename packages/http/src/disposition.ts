export const DISPOSITIONS = ["record", "release", "hold", "stub"] as const;

/**
 * What becomes of a key once its handler has answered:
 * - `record`: duplicates get the response again
 * - `release`: nothing was done, and the next request with the key runs
 * - `hold`: nobody knows whether it was done; an operator settles it, and duplicates are told so
 * - `stub`: it was done, but its response cannot be kept; duplicates are told so, and nothing runs
 */
export type Disposition = (typeof DISPOSITIONS)[number];

/** What becomes of a key whose handler has answered 5xx, or threw what nobody expected. */
export type On5xx = "record" | "release" | "hold";

/** Credentials, "not now", and complaints about the transmission: by RFC 9110 nothing was done. */
const RELEASED: ReadonlySet<number> = new Set([
  ...[401, 403, 407],
  ...[408, 421, 425, 429],
  ...[412, 413, 414, 415, 431],
]);

/** Their bodies are about the request's conditions and ranges, and wrong for another request. */
const NOT_STORABLE: ReadonlySet<number> = new Set([206, 304, 416]);

/** @param isWhole whether the response was seen whole, so that it can be kept */
export function dispositionOf(status: number, isWhole: boolean, on5xx: On5xx): Disposition {
  if (RELEASED.has(status)) return "release";
  if (status >= 500 && on5xx !== "record") return on5xx;
  return isWhole && !NOT_STORABLE.has(status) ? "record" : "stub";
}
