import { type TakeOver, takeOverOf, takeOverUnseen } from "./abandoned.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { EngineClosedError, InProgressError } from "./errors.ts";
import type { Asked } from "./flights.ts";
import { type Call, checkWanted, meet, type Replay, type Running } from "./meet.ts";
import type { Settings } from "./options.ts";

export type Granted = Extract<Asked, { kind: "granted" }>;

/** What came of asking for a record, and when that was sent, on the monotonic clock. */
export interface Answered {
  readonly asked: Asked;
  readonly sentAtMs: number;
}

/** How a call asks for its record, and what it does once it has got it. */
export interface Rounds<T> {
  ask(owner: string, takeOver: TakeOver): Promise<Answered>;
  /** Returns nothing if the record was lost again, or decided: then it is asked for again. */
  accept(granted: Granted, sentAtMs: number): Promise<T | undefined>;
}

/** Each takes an operator in the right moment, so that more of them mean a faulty store. */
const OWNERS_MAX = 3;
const RETRY_AFTER_MS_MIN = 50;
const RETRY_AFTER_MS_MAX = 1_000;
/** Each round waits for another call to get on, so this bounds what cannot happen in practice. */
const ROUNDS_MAX = 100_000;
/** The transaction of a rival cannot be watched: asking again waits for it once more. */
const BLOCKED: Running = {
  attempt: 1,
  leaseRemainingMs: RETRY_AFTER_MS_MIN,
  askAgainMs: RETRY_AFTER_MS_MIN,
};

/**
 * Asks for the call's record until it is this call's or its outcome is known, waiting for that as long
 * as was asked for.
 */
export async function untilKnown<T>(
  scope: ClaimScope,
  call: Call,
  rounds: Rounds<T>,
): Promise<Replay | T> {
  const { runtime, settings, lifetime } = scope;
  const { onDuplicate } = settings;
  const startedAtMs = runtime.monotonicMs();
  const untilMs = onDuplicate === "reject" ? startedAtMs : startedAtMs + onDuplicate.waitMs;
  let hasWaited = false;
  let grantedAtMs: number | undefined;
  // The same in every round: a claim of an earlier one may still be on its way, and if it is granted
  // late it has to be known as this call's own.
  let owner = runtime.newOwner();
  let owners = 1;
  let takeOver = takeOverUnseen(settings);
  lifetime.enter();
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      checkWanted(scope, call);
      const { asked, sentAtMs } = await rounds.ask(owner, takeOver);
      if (asked.kind === "again") continue;
      if (asked.kind === "granted") {
        grantedAtMs = runtime.monotonicMs();
        const accepted = await rounds.accept(asked, sentAtMs);
        if (accepted !== undefined) return accepted;
        // That claim has ended. As its owner this call would be granted the record again at once.
        owner = runtime.newOwner();
        takeOver = takeOverUnseen(settings);
        continue;
      }
      const allowed = takeOverSeen(settings, call, asked);
      if (allowed !== undefined && (takeOver === undefined || allowed < takeOver)) {
        takeOver = allowed;
        continue;
      }
      const running = asked.kind === "blocked" ? BLOCKED : meet(scope, call, asked, allowed);
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
      await wait(scope, call, { asked, running, owner, untilMs });
    }
    throw new Error("The record changed hands more often than any real one does.");
  } finally {
    lifetime.leave();
    if (hasWaited) {
      const { digest } = call.id;
      const waitedMs = (grantedAtMs ?? runtime.monotonicMs()) - startedAtMs;
      scope.events.emit("waited", () => ({ digest, waitedMs }));
    }
  }
}

/** When this call may take over the record that it met, if that has lapsed. */
function takeOverSeen(settings: Settings, { fingerprint }: Call, asked: Asked): TakeOver {
  if (asked.kind !== "answered" || asked.outcome.outcome !== "lapsed") return undefined;
  if (asked.outcome.fingerprint !== fingerprint) return undefined;
  return takeOverOf(settings, asked.outcome.checkpoint);
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

/** The record that a call waits for, and how long. */
interface Waiting {
  readonly asked: Asked;
  readonly running: Running;
  readonly owner: string;
  readonly untilMs: number;
}

/** Waits until the record may have changed, or the time is over. Rejects when the caller leaves. */
function wait(
  { client, runtime, settings, lifetime }: ClaimScope,
  { id, signal }: Call,
  { asked, running: { askAgainMs }, owner, untilMs }: Waiting,
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
    else if (askAgainMs !== undefined) stops.push(runtime.schedule(wake, askAgainMs));
    else stops.push(client.poller.watch(id, owner, settings.storeTimeoutMs, wake));
    if (signal !== undefined) {
      const leave = () => finish(() => reject(signal.reason));
      signal.addEventListener("abort", leave, { once: true });
      stops.push(() => signal.removeEventListener("abort", leave));
    }
    stops.push(lifetime.onEnd(() => finish(() => reject(new EngineClosedError()))));
  });
}
