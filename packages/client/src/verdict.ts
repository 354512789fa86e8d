import type { RetryReason } from "./options.ts";
import { problemOf } from "./problem.ts";

/** Statuses of a server or proxy that is overloaded or fails: the next attempt may get another one. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The codes of a 409 whose first request still runs: @idemkit/http's and Stripe's. */
const IN_PROGRESS_CODES: readonly unknown[] = ["in-progress", "idempotency_key_in_use"];

/** The codes of a 409 that no retry changes, even if a proxy adds Retry-After. */
const FINAL_CODES: readonly unknown[] = ["outcome-unknown", "response-not-stored"];

/** The names under which servers say that a response is the recorded one. */
const REPLAY_HEADERS = ["idempotency-replayed", "idempotent-replayed"];

/** Whether the response is the recorded one of an earlier request with the same key. */
export function isReplayed({ headers }: Response): boolean {
  // Where it was set twice, fetch joins both.
  const isTrue = (value: string) => value.trim().toLowerCase() === "true";
  return REPLAY_HEADERS.some((name) => headers.get(name)?.split(",").every(isTrue) ?? false);
}

/**
 * The default rule: why the request should be sent again after this response; undefined if it is final.
 *
 * @param isFresh whether no earlier request can have had this key
 * @throws the connection's error while the body is read
 */
export async function reasonToRetry(
  response: Response,
  isFresh: boolean,
): Promise<RetryReason | undefined> {
  // It is the outcome, whatever it looks like: asking again would give it again.
  if (isReplayed(response)) return undefined;
  const { status, headers } = response;
  const stripes = headers.get("stripe-should-retry")?.trim().toLowerCase();
  if (stripes === "false") return undefined;
  if (status === 202) {
    // A new key cannot be running: that 202 is the application's own.
    const isRunning = !isFresh && headers.has("retry-after") && headers.has("location");
    return isRunning ? "in-progress" : undefined;
  }
  const isAsked = stripes === "true" && status >= 400;
  if (!isAsked && status !== 409 && !PASSING_STATUSES.has(status)) return undefined;
  const { code, retryable } = (await problemOf(response)) ?? {};
  if (retryable === false) return undefined;
  if (status !== 409) return "status";
  if (IN_PROGRESS_CODES.includes(code)) return "in-progress";
  if (isAsked || retryable === true) return "status";
  return headers.has("retry-after") && !FINAL_CODES.includes(code) ? "status" : undefined;
}
