import type { RetryReason } from "./options.ts";
import { problemOf } from "./problem.ts";

/** What servers and proxies answer while they cannot do better, and may answer otherwise next time. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The names under which servers say that a response is the recorded one. */
const REPLAY_HEADERS = ["idempotency-replayed", "idempotent-replayed"];

/** Whether the response is the recorded one of an earlier request with the same key. */
export function isReplayed({ headers }: Response): boolean {
  // Where it was set twice, fetch joins both.
  const isTrue = (value: string) => value.trim().toLowerCase() === "true";
  return REPLAY_HEADERS.some((name) => headers.get(name)?.split(",").every(isTrue) ?? false);
}

/**
 * Why the request should be sent again after this response; undefined if it is final.
 *
 * @param isFresh whether no earlier request can have had this key
 */
export async function reasonToRetry(
  response: Response,
  isFresh: boolean,
): Promise<RetryReason | undefined> {
  // It is the outcome, whatever it looks like: asking again would give it again.
  if (isReplayed(response)) return undefined;
  const { status, headers } = response;
  if (status === 202) {
    // A key that nobody has sent before cannot be running: that 202 is the application's own.
    const isRunning = !isFresh && headers.has("retry-after") && headers.has("location");
    return isRunning ? "in-progress" : undefined;
  }
  const mayPass = PASSING_STATUSES.has(status);
  if (!mayPass && status !== 409) return undefined;
  const problem = await problemOf(response);
  if (problem?.retryable === false) return undefined;
  if (mayPass) return "status";
  return problem?.code === "in-progress" ? "in-progress" : undefined;
}
