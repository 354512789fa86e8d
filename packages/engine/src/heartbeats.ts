import type { Runtime } from "./runtime.ts";
import type { Claim, Renewal } from "./store.ts";
import { Alarm } from "./timing.ts";

/** What a running claim wants to hear about its lease. */
export interface BeatSpec {
  readonly claim: Claim;
  readonly leaseMs: number;
  readonly storeTimeoutMs: number;
  /** When the claim was sent, on the monotonic clock: its lease counts from before the send. */
  readonly sentAtMs: number;
  /** Since when the function runs, on the monotonic clock. */
  readonly startedAtMs: number;
  /** How long the function may run. */
  readonly maxRunMs: number;
  /** The store refused a renewal: the claim is somebody else's, or decided. Comes once, last. */
  readonly onRefused: () => void;
  /** The lease is over without a confirmed renewal. The claim may still be ours. Comes once. */
  readonly onOver: () => void;
  /** The function still runs after ten leases. Comes once. */
  readonly onLongRun: () => void;
  /** The function ran for longer than `maxRunMs`: it is no longer renewed. Comes once, last. */
  readonly onRunTooLong: () => void;
  readonly onError: (error: unknown) => void;
}

/** The renewals of one claim. */
export interface Heartbeat {
  /** Answers when the last renewal was sent that was confirmed. */
  stop(): number;
  /** The store has renewed the lease by other means, as it was asked to at that time. */
  confirm(sentAtMs: number): void;
  /** Looks at the clock: a process may have stood still, and its timers come late. */
  check(): void;
}

/** Of what needs no renewal. */
export const NO_HEARTBEAT: Heartbeat = {
  stop: () => 0,
  confirm: () => undefined,
  check: () => undefined,
};

interface Beat {
  readonly spec: BeatSpec;
  readonly round: Round;
  dueAtMs: number;
  leaseEndsAtMs: number;
  isStopped: boolean;
  isOver: boolean;
  isLong: boolean;
  cancelRetry: (() => void) | undefined;
}

/** Asks the store to renew, within so many milliseconds. Rejects with a StoreError. */
type SendRenewal = (renewal: Renewal, timeoutMs: number) => Promise<boolean>;

const RENEWALS_PER_LEASE = 3;
const RETRIES_PER_LEASE = 12;
/** After how many leases a run that goes on is reported. */
const LONG_RUN_LEASES = 10;

/**
 * Renews the leases of all running claims of a process, those that are due together in one list.
 * A claim that is shorter than a third of its lease costs no timer and no renewal.
 */
export class Heartbeats {
  readonly #send: SendRenewal;
  readonly #runtime: Runtime;
  readonly #rounds = new Map<number, Round>();

  constructor(send: SendRenewal, runtime: Runtime) {
    this.#send = send;
    this.#runtime = runtime;
  }

  /** Renews until it is told to stop. */
  start(spec: BeatSpec): Heartbeat {
    const round = this.#rounds.get(spec.leaseMs) ?? new Round(this.#runtime, this.#renew);
    this.#rounds.set(spec.leaseMs, round);
    const beat: Beat = {
      spec,
      round,
      dueAtMs: dueAtMs(spec, spec.sentAtMs),
      leaseEndsAtMs: spec.sentAtMs + spec.leaseMs,
      isStopped: false,
      isOver: false,
      isLong: false,
      cancelRetry: undefined,
    };
    round.add(beat);
    return {
      stop: () => {
        beat.isStopped = true;
        beat.cancelRetry?.();
        round.delete(beat);
        if (round.isEmpty) this.#rounds.delete(spec.leaseMs);
        return beat.leaseEndsAtMs - spec.leaseMs;
      },
      confirm: (sentAtMs) => confirm(beat, sentAtMs),
      check: () => {
        if (!beat.isStopped) this.#checkLease(beat);
      },
    };
  }

  readonly #renew = async (beat: Beat): Promise<void> => {
    const { claim, leaseMs, storeTimeoutMs, onRefused, onError } = beat.spec;
    const sentAtMs = this.#runtime.monotonicMs();
    this.#checkLease(beat);
    if (isRunOver(beat, sentAtMs)) return;
    // Nobody may learn too late that the lease is over because a renewal hangs.
    const leftMs = beat.isOver ? leaseMs / RENEWALS_PER_LEASE : beat.leaseEndsAtMs - sentAtMs;
    const timeoutMs = Math.min(storeTimeoutMs, leftMs);
    try {
      const isHeld = await this.#send({ ...claim, leaseMs }, timeoutMs);
      if (beat.isStopped) return;
      if (!isHeld) {
        beat.isStopped = true;
        onRefused();
        return;
      }
      confirm(beat, sentAtMs);
      beat.round.add(beat);
    } catch (error) {
      if (beat.isStopped) return;
      onError(error);
      this.#checkLease(beat);
      // A lapsed lease that nobody took over can still be renewed, so this goes on. But the end of
      // the lease is not slept through.
      const shareMs = leaseMs / RETRIES_PER_LEASE;
      const leftMs = Math.max(1, beat.leaseEndsAtMs - this.#runtime.monotonicMs());
      const retryMs = beat.isOver ? shareMs : Math.min(shareMs, leftMs);
      beat.cancelRetry = this.#runtime.schedule(() => void this.#renew(beat), retryMs);
    }
  };

  #checkLease(beat: Beat): void {
    if (beat.isOver || this.#runtime.monotonicMs() < beat.leaseEndsAtMs) return;
    beat.isOver = true;
    beat.spec.onOver();
  }
}

/** Answers may come in another order than they were asked for: the last asked counts. */
function confirm(beat: Beat, sentAtMs: number): void {
  const { leaseMs } = beat.spec;
  beat.leaseEndsAtMs = Math.max(beat.leaseEndsAtMs, sentAtMs + leaseMs);
  beat.dueAtMs = Math.max(beat.dueAtMs, dueAtMs(beat.spec, sentAtMs));
}

/** When a claim that was renewed at that time is looked at again. */
function dueAtMs({ leaseMs, startedAtMs, maxRunMs }: BeatSpec, sentAtMs: number): number {
  return Math.min(sentAtMs + leaseMs / RENEWALS_PER_LEASE, startedAtMs + maxRunMs);
}

/** Ends the renewals of a run that has had all its time, and reports one that is long. */
function isRunOver(beat: Beat, nowMs: number): boolean {
  const { leaseMs, startedAtMs, maxRunMs, onLongRun, onRunTooLong } = beat.spec;
  const ranMs = nowMs - startedAtMs;
  if (ranMs >= maxRunMs) {
    beat.isStopped = true;
    onRunTooLong();
    return true;
  }
  if (!beat.isLong && ranMs >= LONG_RUN_LEASES * leaseMs) {
    beat.isLong = true;
    onLongRun();
  }
  return false;
}

/** The claims of one lease length. One timer serves all of them. */
class Round {
  readonly #runtime: Runtime;
  readonly #renew: (beat: Beat) => Promise<void>;
  readonly #beats = new Set<Beat>();
  readonly #alarm: Alarm;

  constructor(runtime: Runtime, renew: (beat: Beat) => Promise<void>) {
    this.#runtime = runtime;
    this.#renew = renew;
    this.#alarm = new Alarm(runtime, () => this.#fire());
  }

  get isEmpty(): boolean {
    return this.#beats.size === 0;
  }

  add(beat: Beat): void {
    this.#beats.add(beat);
    this.#alarm.ringBy(beat.dueAtMs);
  }

  delete(beat: Beat): void {
    this.#beats.delete(beat);
    if (this.isEmpty) this.#alarm.stop();
  }

  #fire(): void {
    // Those that come due soon go along, so that claims begun one by one share lists later on.
    const nowMs = this.#runtime.monotonicMs();
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const beat of this.#beats) {
      if (beat.dueAtMs - beat.spec.leaseMs / RETRIES_PER_LEASE > nowMs) {
        nextAtMs = Math.min(nextAtMs, beat.dueAtMs);
      } else {
        this.#beats.delete(beat);
        void this.#renew(beat);
      }
    }
    this.#alarm.ringBy(nextAtMs);
  }
}
