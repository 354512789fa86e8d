import type { BatchingFront } from "./batching-front.ts";
import type { Lifetime } from "./lifetime.ts";
import type { Runtime } from "./runtime.ts";
import type { Claim, ClaimOutcome, ClaimRequest } from "./store.ts";
import { pause, TimedOutError } from "./timing.ts";
import type { Terms } from "./waiting.ts";

/** A claim that is asked for, within the lifetime of an engine. */
export class AskedClaim implements Terms<ClaimOutcome> {
  readonly request: ClaimRequest;
  /** On the monotonic clock. */
  readonly askedAtMs: number;
  readonly timeoutMs: number;
  readonly lifetime: Lifetime;
  readonly #giveBacks: GiveBacks;

  constructor(
    request: ClaimRequest,
    askedAtMs: number,
    timeoutMs: number,
    lifetime: Lifetime,
    giveBacks: GiveBacks,
  ) {
    this.request = request;
    this.askedAtMs = askedAtMs;
    this.timeoutMs = timeoutMs;
    this.lifetime = lifetime;
    this.#giveBacks = giveBacks;
  }

  onLate(outcome: ClaimOutcome): void {
    this.#giveBacks.take(this, outcome);
  }
}

/** The open question whether a claim was granted whose call has failed. */
interface Doubt {
  readonly lifetime: Lifetime;
  isOver: boolean;
  /** Ends the present pause. */
  wake: () => void;
}

/** Releases a claim, or lets it lapse at once if it took over. */
type Release = (claim: Claim, takenOver: boolean, timeoutMs: number) => Promise<boolean>;

const TRIES_MAX = 3;
const FIRST_PAUSE_MS = 100;
const PAUSE_GROWTH = 4;
/** The first pause as a share of the lease, if that is shorter. */
const PAUSE_SHARE = 1 / 10;
/**
 * How long a claim is asked for again after it was first asked for, in leases and timeouts: three
 * tenths of the shortest retention. Later its record may expire, and a claim still under way would be new.
 */
const LEASES_MAX = 3;
/** How many doubts there may be. A claim beyond that lapses, unless a result still comes for it. */
const DOUBTS_MAX = 10_000;
/**
 * The share of them for claims that may take over: the next caller of their keys runs even if they lapse.
 * The other claims leave an unknown outcome if they lapse, which an operator has to settle.
 */
const TAKING_OVER_SHARE = 1 / 2;

/**
 * Gives back, in the background, claims that nothing runs under, so that their keys are free before their
 * leases are over.
 */
export class GiveBacks {
  readonly #front: BatchingFront;
  readonly #release: Release;
  readonly #runtime: Runtime;
  /** By owner. */
  readonly #doubts = new Map<string, Doubt>();

  constructor(front: BatchingFront, release: Release, runtime: Runtime) {
    this.#front = front;
    this.#release = release;
    this.#runtime = runtime;
  }

  /**
   * Takes a late result: it ends the doubt, and a granted claim is released. After its engine's end that
   * happens for as long only as calls under way may take.
   */
  take({ request, timeoutMs, lifetime }: AskedClaim, outcome: ClaimOutcome): void {
    const isQuiet = this.#runtime.monotonicMs() > lifetime.endsAtMs + timeoutMs;
    if (outcome.outcome === "claimed" && !isQuiet) {
      const { id, owner } = request;
      const { token, takenOver } = outcome;
      void this.release({ id, owner, token }, takenOver, timeoutMs, lifetime);
    }
    const doubt = this.#doubts.get(request.owner);
    if (doubt === undefined) return;
    doubt.isOver = true;
    doubt.wake();
  }

  /** Releases a claim. If the store stays away, the lease lapses instead. */
  async release(
    claim: Claim,
    takenOver: boolean,
    timeoutMs: number,
    lifetime: Lifetime,
  ): Promise<void> {
    lifetime.enter();
    let pauseMs = FIRST_PAUSE_MS;
    for (let tried = 1; tried <= TRIES_MAX; tried += 1) {
      const isKnown = await this.#release(claim, takenOver, timeoutMs).then(
        () => true,
        () => false,
      );
      if (isKnown || lifetime.isEnded) break;
      await this.#pause(pauseMs, lifetime);
      pauseMs *= PAUSE_GROWTH;
    }
    lifetime.leave();
  }

  /**
   * Gives back a claim without a result. It may have been granted, or may still be on its way, so it is
   * asked for once more as the same owner: once it is released, a delayed duplicate of it finds its own
   * release and changes nothing. A call that has timed out may still get a late result, and waits for it
   * first.
   */
  async findOut(asked: AskedClaim, cause: unknown): Promise<void> {
    const { request, askedAtMs, timeoutMs, lifetime } = asked;
    const share = request.takeOver ? TAKING_OVER_SHARE : 1;
    if (lifetime.isEnded || this.#doubts.size >= DOUBTS_MAX * share) return;
    const doubt: Doubt = { lifetime, isOver: false, wake: () => undefined };
    this.#doubts.set(request.owner, doubt);
    lifetime.enter();
    const untilMs = askedAtMs + LEASES_MAX * (request.leaseMs + timeoutMs);
    let pauseMs = Math.min(FIRST_PAUSE_MS, PAUSE_SHARE * request.leaseMs);
    if (cause instanceof TimedOutError) pauseMs = timeoutMs;
    for (let tried = 1; tried <= TRIES_MAX; tried += 1) {
      await this.#pause(pauseMs, lifetime, doubt);
      pauseMs *= PAUSE_GROWTH;
      if (doubt.isOver || lifetime.isEnded || this.#runtime.monotonicMs() > untilMs) break;
      if (await this.#claimAndRelease(asked)) break;
    }
    this.#doubts.delete(request.owner);
    lifetime.leave();
  }

  /** Asks at once for the claims of engines that are closing. */
  hurry(): void {
    for (const { lifetime, wake } of this.#doubts.values()) if (lifetime.isClosing) wake();
  }

  /** At most half of the rest of a grace, so that a try follows within it. */
  async #pause(pauseMs: number, lifetime: Lifetime, doubt?: Doubt): Promise<void> {
    const jitter = 0.5 + this.#runtime.random();
    const leftMs = Math.max(0, lifetime.endsAtMs - this.#runtime.monotonicMs());
    await pause(this.#runtime, Math.min(pauseMs * jitter, leftMs / 2), (stop) => {
      if (doubt !== undefined) doubt.wake = stop;
      return lifetime.onEnd(stop);
    });
  }

  async #claimAndRelease(asked: AskedClaim): Promise<boolean> {
    const { request, timeoutMs } = asked;
    try {
      const again = { ...request, takeOver: false };
      this.take(asked, await this.#front.claimInBackground(again, timeoutMs, asked));
      return true;
    } catch {
      // The caller has got its error already: this is only about freeing the key early.
      return false;
    }
  }
}
