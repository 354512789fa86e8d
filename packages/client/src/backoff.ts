/** How long the first wait is at most; each one after it is at most twice as long. */
const BACKOFF_FIRST_MS = 200;

/** No wait of the client's own choice is longer. */
const BACKOFF_MS_MAX = 5_000;

/** What is added at most to the time that a server asks for, so that its clients do not come at once. */
const SPREAD_MS = 100;

/**
 * How long to wait after an attempt, in milliseconds. What the server asks for is kept to, however
 * short or long; otherwise waits double, and half of each is random.
 *
 * @param attempt counted from 1
 */
export function delayMsAfter(attempt: number, retryAfterMs: number | undefined): number {
  if (retryAfterMs !== undefined) return Math.round(retryAfterMs + Math.random() * SPREAD_MS);
  const longestMs = Math.min(BACKOFF_MS_MAX, BACKOFF_FIRST_MS * 2 ** (attempt - 1));
  return Math.round((longestMs * (1 + Math.random())) / 2);
}

/** What Retry-After says, in milliseconds from now; undefined where it says nothing that is clear. */
export function retryAfterMsOf(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  // Date.parse takes far more for a date than HTTP does.
  const atMs = /^[A-Za-z]{3,9},? /.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(atMs)) return undefined;
  // Both dates are the server's, so that a wrong clock on this side does no harm.
  const sentMs = Date.parse(headers.get("date") ?? "");
  return Math.max(0, atMs - (Number.isNaN(sentMs) ? Date.now() : sentMs));
}
