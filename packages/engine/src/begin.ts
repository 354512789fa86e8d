import { isStillToDo, type TakeOver } from "./abandoned.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { EngineClosedError, StoreError } from "./errors.ts";
import type { Answer } from "./flights.ts";
import { HeldClaim } from "./held-claim.ts";
import { type Call, checkWanted, type Replay } from "./meet.ts";
import { type Answered, type Granted, type Rounds, untilKnown } from "./rounds.ts";
import { NO_STEPS } from "./step-log.ts";
import type { ClaimRequest } from "./store.ts";
import { TimedOutError, within } from "./timing.ts";

/** A claim to run under. */
interface Claimed {
  readonly kind: "execute";
  readonly claim: HeldClaim;
}

const CONFIRMATIONS_MAX = 3;

/**
 * Claims the call's record, or replays its outcome, waiting for it where that was asked for.
 *
 * @throws what `Engine.begin` throws, but for the errors about its arguments
 */
export async function begin(scope: ClaimScope, call: Call): Promise<Replay | Claimed> {
  const rounds: Rounds<Claimed> = {
    ask: (owner, takeOver) => ask(scope, call, owner, takeOver),
    accept: async (granted, sentAtMs) => {
      const claim = await accept(scope, call, granted, sentAtMs);
      if (claim === undefined) return undefined;
      const isToRun = await isStillToDo(scope, call, claim, granted.outcome);
      return isToRun ? { kind: "execute", claim } : undefined;
    },
  };
  return await untilKnown(scope, call, rounds);
}

/** What is asked of the store for a call. */
export function requestOf(
  { settings }: ClaimScope,
  { id, fingerprint }: Call,
  owner: string,
  takeOver: TakeOver,
): ClaimRequest {
  const { leaseMs, replayMs: retentionMs, steps } = settings;
  const request = {
    ...{ id, fingerprint, owner, leaseMs, retentionMs },
    takeOver: takeOver !== undefined,
    takeOverAfterMs: takeOver ?? 0,
  };
  return steps ? { checkpoint: NO_STEPS, ...request } : request;
}

async function ask(
  scope: ClaimScope,
  call: Call,
  owner: string,
  takeOver: TakeOver,
): Promise<Answered> {
  const { client, runtime, settings, events, lifetime } = scope;
  const { digest } = call.id;
  const request = requestOf(scope, call, owner, takeOver);
  const { storeTimeoutMs } = settings;
  const sentAtMs = runtime.monotonicMs();
  const send = () => client.claim(request, sentAtMs, storeTimeoutMs, lifetime);
  const bound = (answer: Promise<Answer>) =>
    within(runtime, storeTimeoutMs, answer, "The call to claim");
  try {
    return { asked: await client.flights.ask(request, send, bound), sentAtMs };
  } catch (cause) {
    const error = cause instanceof TimedOutError ? new StoreError("claim", cause) : cause;
    const wasSent = !(error instanceof StoreError) || error.wasSent;
    if (lifetime.isClosing && !wasSent) throw new EngineClosedError();
    events.emit("store-error", () => ({ digest, operation: "claim", error }));
    if (lifetime.isEnded) throw new EngineClosedError();
    throw error;
  }
}

/** The granted claim, ready to run under; or nothing, where it was lost again on its way. */
async function accept(
  scope: ClaimScope,
  call: Call,
  granted: Granted,
  sentAtMs: number,
): Promise<HeldClaim | undefined> {
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
    await claim.giveBack();
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
  { flight, outcome: { token, takenOver } }: Granted,
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
    client.giveBack(claim, takenOver, storeTimeoutMs, lifetime);
    throw error;
  }
}
