import { decodeError, decodeValue } from "./body.ts";
import { type ClaimHandle, type ClaimScope, HeldClaim } from "./claim-handle.ts";
import {
  ConflictError,
  EngineClosedError,
  InProgressError,
  OutcomeUnknownError,
  ReplayedError,
  ResultUnavailableError,
  StoreError,
  type UnknownReason,
} from "./errors.ts";
import { isComparable } from "./fingerprint.ts";
import type { Asked, Flight } from "./flights.ts";
import { takesOver } from "./options.ts";
import type { ClaimOutcome, ClaimRequest, Completed, RecordId } from "./store.ts";
import { TimedOutError, within } from "./timing.ts";

/** A recorded result, given to a duplicate. */
export interface Replay {
  readonly kind: "replay";
  readonly value: unknown;
  readonly attempt: number;
  readonly token: number;
  /** Epoch milliseconds on the store's clock. */
  readonly createdAt: number;
  readonly completedAt: number;
}

export type Begun = Replay | { readonly kind: "execute"; readonly claim: ClaimHandle };

/** One call, checked and hashed. */
export interface Call {
  readonly id: RecordId;
  readonly fingerprint: string;
  readonly signal: AbortSignal | undefined;
}

const CONFIRMATIONS_MAX = 3;
const RETRY_AFTER_MS_MIN = 50;
const RETRY_AFTER_MS_MAX = 1_000;
/** Each round waits for another call to get on, so this bounds what cannot happen in practice. */
const ROUNDS_MAX = 100_000;

/**
 * Claims the call's record, or replays its outcome, waiting for it where that was asked for.
 *
 * @throws what `Engine.begin` throws, but for the errors about its arguments
 */
export async function begin(scope: ClaimScope, call: Call): Promise<Begun> {
  const { runtime, settings, lifetime } = scope;
  const { duplicates } = settings;
  const startedAtMs = runtime.monotonicMs();
  const untilMs = duplicates === "reject" ? startedAtMs : startedAtMs + duplicates.waitMs;
  let hasWaited = false;
  lifetime.enter();
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      checkWanted(scope, call);
      const { asked, sentAtMs } = await ask(scope, call);
      if (asked.kind === "again") continue;
      if (asked.kind === "granted") {
        const claim = await accept(scope, call, asked, sentAtMs);
        if (claim !== undefined) return { kind: "execute", claim };
        continue;
      }
      const running = meet(scope, call, asked);
      if (running.replay !== undefined) return running.replay;
      if (runtime.monotonicMs() >= untilMs) throw refuse(scope, call, running);
      hasWaited = true;
      await wait(scope, call, asked, untilMs);
    }
    throw new Error("The record changed hands more often than any real one does.");
  } finally {
    lifetime.leave();
    if (hasWaited) {
      const { digest } = call.id;
      const waitedMs = runtime.monotonicMs() - startedAtMs;
      scope.events.emit("waited", () => ({ digest, waitedMs }));
    }
  }
}

async function ask(
  { client, runtime, settings, events, lifetime }: ClaimScope,
  { id, fingerprint }: Call,
): Promise<{ readonly asked: Asked; readonly sentAtMs: number }> {
  const request: ClaimRequest = {
    id,
    fingerprint,
    owner: runtime.newOwner(),
    leaseMs: settings.leaseMs,
    retentionMs: settings.replayMs,
    takeOver: takesOver(settings),
  };
  const { storeTimeoutMs } = settings;
  const sentAtMs = runtime.monotonicMs();
  const send = async () => {
    try {
      return await client.claim(request, storeTimeoutMs);
    } catch (error) {
      void client.giveBack(request, storeTimeoutMs, lifetime);
      throw error;
    }
  };
  const bound = (answer: Promise<ClaimOutcome>) =>
    within(runtime, storeTimeoutMs, answer, "The call to claim");
  try {
    return { asked: await client.flights.ask(request, send, bound), sentAtMs };
  } catch (cause) {
    const error = cause instanceof TimedOutError ? new StoreError("claim", cause) : cause;
    events.emit("store-error", () => ({ digest: id.digest, operation: "claim", error }));
    throw error;
  }
}

/** Whether anybody is still there to run for. */
function checkWanted({ lifetime }: ClaimScope, { signal }: Call): void {
  signal?.throwIfAborted();
  if (lifetime.isEnded) throw new EngineClosedError();
}

/** The granted claim, ready to run under; or nothing, where it was lost again on its way. */
async function accept(
  scope: ClaimScope,
  call: Call,
  { outcome, flight }: Extract<Asked, { kind: "granted" }>,
  sentAtMs: number,
): Promise<ClaimHandle | undefined> {
  const countedFromMs = await confirm(scope, flight, sentAtMs);
  if (countedFromMs === undefined) return undefined;
  const { attempt, token, takenOver } = outcome;
  const { digest } = flight.request.id;
  scope.events.emit(takenOver ? "taken-over" : "claimed", () => ({ digest, attempt, token }));
  const claim = new HeldClaim(scope, flight, outcome, countedFromMs);
  try {
    checkWanted(scope, call);
  } catch (reason) {
    // Nothing ran. What was taken over is open all the same, and stays so.
    if (takenOver) claim.abandon();
    else await claim.release();
    throw reason;
  }
  return claim;
}

/**
 * Makes sure that a lease is running: where the store's answer took longer than the lease, somebody
 * may have taken over already, and the claim is renewed before anything runs under it.
 *
 * @returns the moment from which the lease counts, or nothing where the claim is lost
 */
async function confirm(
  { client, runtime, settings, lifetime }: ClaimScope,
  flight: Flight,
  sentAtMs: number,
): Promise<number | undefined> {
  const { leaseMs, storeTimeoutMs } = settings;
  const { id, owner } = flight.request;
  let countedFromMs = sentAtMs;
  try {
    for (let tried = 0; runtime.monotonicMs() - countedFromMs >= leaseMs; tried += 1) {
      if (tried === CONFIRMATIONS_MAX) {
        const why = `The store's answers take longer than the lease of ${leaseMs} ms.`;
        throw new StoreError("renew", new TimedOutError(why));
      }
      countedFromMs = runtime.monotonicMs();
      const isHeld = await client.renew({ id, owner, leaseMs }, storeTimeoutMs);
      if (!isHeld) {
        client.flights.land(flight);
        return undefined;
      }
    }
    return countedFromMs;
  } catch (error) {
    client.flights.land(flight);
    void client.giveBack(flight.request, storeTimeoutMs, lifetime);
    throw error;
  }
}

interface Running {
  readonly replay?: Replay;
  readonly attempt: number;
  readonly leaseRemainingMs: number;
}

/** What another call's record means for this one: an outcome, an error, or that it still runs. */
function meet(
  scope: ClaimScope,
  call: Call,
  asked: Extract<Asked, { kind: "attached" | "answered" }>,
): Running {
  const other = asked.kind === "attached" ? asked.flight.request : asked.outcome;
  // Mismatch comes before all else: who does not know the content learns nothing about the outcome.
  checkFingerprint(scope, call, other.fingerprint);
  if (asked.kind === "attached") {
    return { attempt: asked.attempt, leaseRemainingMs: asked.flight.request.leaseMs };
  }
  const { outcome } = asked;
  switch (outcome.outcome) {
    case "in-progress":
      return outcome;
    case "lapsed":
      throw unknown(scope, call, outcome, "lapsed");
    case "completed":
      if (outcome.status === "unknown") throw unknown(scope, call, outcome, "recorded");
      return {
        attempt: outcome.attempt,
        leaseRemainingMs: 0,
        replay: replay(scope, call, outcome),
      };
  }
}

function checkFingerprint({ events }: ClaimScope, call: Call, recorded: string): void {
  if (recorded === call.fingerprint) return;
  if (!isComparable(recorded)) {
    const why = "The record's fingerprint is of a version that this release cannot compare with.";
    throw new StoreError("claim", new Error(why));
  }
  events.emit("conflict", () => ({ digest: call.id.digest }));
  throw new ConflictError();
}

function unknown(
  { events }: ClaimScope,
  { id: { digest } }: Call,
  { attempt, token }: { readonly attempt: number; readonly token: number },
  reason: UnknownReason,
): OutcomeUnknownError {
  events.emit("unknown", () => ({ digest, attempt, token, reason }));
  return new OutcomeUnknownError({ reason, attempt, token });
}

function replay({ events }: ClaimScope, { id: { digest } }: Call, completed: Completed): Replay {
  const { status, attempt, token, createdAt, completedAt, ageMs } = completed;
  events.emit("replayed", () => ({ digest, attempt, token, status, ageMs }));
  if (status === "failed") {
    const cause = readBody(() => decodeError(completed.body));
    throw new ReplayedError({ cause, attempt, token, createdAt, completedAt });
  }
  const decoded = readBody(() => decodeValue(completed.body));
  if (decoded.kept) {
    const { value } = decoded;
    return { kind: "replay", value, attempt, token, createdAt, completedAt };
  }
  throw new ResultUnavailableError({ why: decoded.why, attempt, token, completedAt });
}

/** A body that cannot be read means a tampered or foreign record. It is never taken for "new". */
function readBody<T>(read: () => T): T {
  try {
    return read();
  } catch {
    // The parser's message would quote the body.
    throw new StoreError("claim", new Error("The stored body cannot be read."));
  }
}

function refuse(
  { events }: ClaimScope,
  { id: { digest } }: Call,
  { attempt, leaseRemainingMs }: Running,
): InProgressError {
  const withinMs = Math.max(RETRY_AFTER_MS_MIN, Math.ceil(leaseRemainingMs));
  const retryAfterMs = Math.min(withinMs, RETRY_AFTER_MS_MAX);
  events.emit("in-progress", () => ({ digest, attempt, retryAfterMs }));
  return new InProgressError({ retryAfterMs, attempt });
}

/** Waits until the record may have changed, or the time is over. Rejects when the caller leaves. */
function wait(
  { client, runtime, settings, lifetime }: ClaimScope,
  { id, signal }: Call,
  asked: Asked,
  untilMs: number,
): Promise<void> {
  // An aborted signal calls nobody back any more.
  if (signal?.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const stops: (() => void)[] = [];
    const finish = (settle: () => void) => {
      for (const stop of stops) stop();
      settle();
    };
    const wake = () => finish(resolve);
    stops.push(runtime.schedule(wake, Math.max(0, untilMs - runtime.monotonicMs())));
    if (asked.kind === "attached") stops.push(asked.flight.onEnd(wake));
    else stops.push(client.poller.watch(id, settings.storeTimeoutMs, wake));
    if (signal !== undefined) {
      const leave = () => finish(() => reject(signal.reason));
      signal.addEventListener("abort", leave, { once: true });
      stops.push(() => signal.removeEventListener("abort", leave));
    }
    stops.push(lifetime.onEnd(() => finish(() => reject(new EngineClosedError()))));
  });
}
