import { type ClaimHandle, type ClaimScope, HeldClaim } from "./claim-handle.ts";
import { EngineClosedError, InProgressError, StoreError } from "./errors.ts";
import type { Asked } from "./flights.ts";
import { type Call, meet, type Replay, type Running } from "./meet.ts";
import { takesOver } from "./options.ts";
import type { ClaimOutcome, ClaimRequest } from "./store.ts";
import { TimedOutError, within } from "./timing.ts";

export type Begun = Replay | { readonly kind: "execute"; readonly claim: ClaimHandle };

type Granted = Extract<Asked, { kind: "granted" }>;

const CONFIRMATIONS_MAX = 3;
/** Each takes an operator in the right moment, so that more of them mean a faulty store. */
const OWNERS_MAX = 3;
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
  // The same in every round: a claim of an earlier one may still be on its way, and if it is granted
  // late it has to be known as this call's own.
  let owner = runtime.newOwner();
  let owners = 1;
  lifetime.enter();
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      checkWanted(scope, call);
      const { asked, sentAtMs } = await ask(scope, call, owner);
      if (asked.kind === "again") continue;
      if (asked.kind === "granted") {
        const claim = await accept(scope, call, asked, sentAtMs);
        if (claim !== undefined) return { kind: "execute", claim };
        continue;
      }
      const running = meet(scope, call, asked);
      if (running.replay !== undefined) return running.replay;
      if (running.leaseRemainingMs === 0 && owners < OWNERS_MAX) {
        // A claim of this call was granted unseen, and removed or settled: its owner is barred.
        // Nothing ran under it.
        owner = runtime.newOwner();
        owners += 1;
        continue;
      }
      if (runtime.monotonicMs() >= untilMs) throw refuse(scope, call, running);
      hasWaited = true;
      await wait(scope, call, asked, owner, untilMs);
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
  owner: string,
): Promise<{ readonly asked: Asked; readonly sentAtMs: number }> {
  const request: ClaimRequest = {
    id,
    fingerprint,
    owner,
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
      void client.giveBack(request, sentAtMs, storeTimeoutMs, lifetime);
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
  granted: Granted,
  sentAtMs: number,
): Promise<ClaimHandle | undefined> {
  // For one who has left nothing runs, and no lease has to be sure.
  const hasLeft = () => scope.lifetime.isEnded || call.signal?.aborted === true;
  const countedFromMs = await confirm(scope, granted, sentAtMs, hasLeft);
  if (countedFromMs === undefined) return undefined;
  const { outcome, flight } = granted;
  const { attempt, token, takenOver } = outcome;
  const claim = new HeldClaim(scope, flight, outcome, countedFromMs);
  try {
    checkWanted(scope, call);
  } catch (reason) {
    await claim.release();
    throw reason;
  }
  const { digest } = call.id;
  scope.events.emit(takenOver ? "taken-over" : "claimed", () => ({ digest, attempt, token }));
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
  { flight, outcome: { token } }: Granted,
  sentAtMs: number,
  hasLeft: () => boolean,
): Promise<number | undefined> {
  const { leaseMs, storeTimeoutMs } = settings;
  const claim = { id: flight.request.id, owner: flight.request.owner, token };
  let countedFromMs = sentAtMs;
  try {
    const isLate = () => runtime.monotonicMs() - countedFromMs >= leaseMs;
    for (let tried = 0; isLate() && !hasLeft(); tried += 1) {
      if (tried === CONFIRMATIONS_MAX) {
        const why = `The store's answers take longer than the lease of ${leaseMs} ms.`;
        throw new StoreError("renew", new TimedOutError(why));
      }
      countedFromMs = runtime.monotonicMs();
      const isHeld = await client.renew({ ...claim, leaseMs }, storeTimeoutMs);
      if (!isHeld) {
        client.flights.land(flight);
        return undefined;
      }
    }
    return countedFromMs;
  } catch (error) {
    client.flights.land(flight);
    void client.giveBack(flight.request, countedFromMs, storeTimeoutMs, lifetime);
    throw error;
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
  owner: string,
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
    else stops.push(client.poller.watch(id, owner, settings.storeTimeoutMs, wake));
    if (signal !== undefined) {
      const leave = () => finish(() => reject(signal.reason));
      signal.addEventListener("abort", leave, { once: true });
      stops.push(() => signal.removeEventListener("abort", leave));
    }
    stops.push(lifetime.onEnd(() => finish(() => reject(new EngineClosedError()))));
  });
}
