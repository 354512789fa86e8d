import { delayMsAfter, retryAfterMsOf } from "./backoff.ts";
import { IdempotencyDeadlineError, ShouldRetryError } from "./errors.ts";
import type { Send } from "./fetch.ts";
import type { RetryEvent, RetryReason, Settings } from "./options.ts";
import type { Outgoing } from "./outgoing.ts";
import { askShouldRetry } from "./should-retry.ts";
import { pause, untilAborted } from "./timing.ts";
import { isReplayed, reasonToRetry } from "./verdict.ts";

/** One logical operation: a request with its key. */
export interface Call {
  readonly outgoing: Outgoing;
  readonly key: string;
  /** Whether the key was made for this call, so that no earlier request can have had it. */
  readonly isFresh: boolean;
  /** The caller's own. It stops everything. */
  readonly signal: AbortSignal | undefined;
  readonly settings: Settings;
}

export interface Answered {
  readonly response: Response;
  readonly attempts: number;
  readonly replayed: boolean;
}

/** An attempt that did not settle the operation. */
interface Unsettled {
  readonly reason: RetryReason;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly cause: unknown;
}

/**
 * Sends a request until its answer is final.
 *
 * @throws IdempotencyDeadlineError if none is by the deadline
 * @throws ShouldRetryError if the option `shouldRetry` throws
 * @throws the reason of the caller's signal
 */
export async function untilSettled(call: Call): Promise<Answered> {
  const { key, signal, settings } = call;
  const startedMs = performance.now();
  const leftMs = () => startedMs + settings.deadlineMs - performance.now();
  let timeoutMs = Math.min(settings.attemptTimeoutMs, settings.deadlineMs);
  for (let attempt = 1; ; attempt += 1) {
    const end = await once(call, attempt, timeoutMs);
    if (end instanceof Settled) {
      return { response: end.response, attempts: attempt, replayed: isReplayed(end.response) };
    }
    const { reason, status, retryAfterMs, cause } = end;
    const delayMs = delayMsAfter(attempt, retryAfterMs);
    const goesOn = attempt < settings.attemptsMax && delayMs < leftMs();
    if (goesOn) {
      tell(settings.onRetry, { key, attempt, reason, status, delayMs });
      await pause(delayMs, signal);
    }
    timeoutMs = Math.min(settings.attemptTimeoutMs, leftMs());
    // Asked again, as a busy process wakes up late.
    if (!goesOn || timeoutMs <= 0) {
      const elapsedMs = performance.now() - startedMs;
      const details = { key, attempts: attempt, elapsedMs, lastStatus: status };
      throw new IdempotencyDeadlineError({ ...details, retryAfterMs, cause });
    }
  }
}

class Settled {
  readonly response: Response;

  constructor(response: Response) {
    this.response = response;
  }
}

/** Sends the request once, and decides whether the response is final. */
async function once(call: Call, attempt: number, timeoutMs: number): Promise<Settled | Unsettled> {
  const { outgoing, signal, settings } = call;
  const limit = new AbortController();
  // The caller's signal stays with the response, as its body may still be on the way.
  const either = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
  let status: number | undefined;
  const timer = setTimeout(() => limit.abort(timeoutError(timeoutMs, status)), timeoutMs);
  // Called without an object: browsers refuse their fetch as the method of another object.
  const send: Send = settings.fetch ?? globalThis.fetch;
  try {
    const response = await send(outgoing.input, { ...outgoing.init, signal: either });
    status = response.status;
    const reason = await untilAborted(decide(call, attempt, response), either);
    if (reason === undefined) return new Settled(response);
    // An unread body would keep its connection.
    response.body?.cancel().catch(() => undefined);
    return { reason, status, retryAfterMs: retryAfterMsOf(response.headers), cause: undefined };
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof ShouldRetryError) throw cause;
    const reason = limit.signal.aborted ? "attempt-timeout" : "network-error";
    return { reason, status, retryAfterMs: undefined, cause };
  } finally {
    clearTimeout(timer);
  }
}

function timeoutError(timeoutMs: number, status: number | undefined): Error {
  const ms = Math.round(timeoutMs);
  return new Error(
    status === undefined
      ? `No response came within ${ms} ms.`
      : `Status ${status} came, but its body or \`shouldRetry\` took longer than ${ms} ms.`,
  );
}

/** Why the request is sent again after this response; undefined if the response is final. */
async function decide(
  { key, isFresh, settings }: Call,
  attempt: number,
  response: Response,
): Promise<RetryReason | undefined> {
  const { shouldRetry } = settings;
  const decision = shouldRetry && (await askShouldRetry(shouldRetry, response, { key, attempt }));
  if (decision !== undefined) return decision ? "should-retry" : undefined;
  return await reasonToRetry(response, isFresh && attempt === 1);
}

function tell(onRetry: Settings["onRetry"], event: RetryEvent): void {
  try {
    onRetry?.(Object.freeze(event));
  } catch (error) {
    // A listener's fault is reported, and no outcome depends on it.
    queueMicrotask(() => {
      throw error;
    });
  }
}
