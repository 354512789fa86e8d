/** After so long without a new measurement only half of an estimate counts. */
const HALF_LIFE_MS = 10_000;
/** To which share an estimate falls with one shorter measurement. */
const FALL = 1 / 4;
/** A list is late after so many times what lists have lately taken. */
const LATE_FACTOR = 2;

/**
 * How long something has lately taken. It rises at once, and falls with shorter measurements and with
 * time that passes.
 */
class Estimate {
  /** When it was measured last. */
  measuredAtMs = Number.NEGATIVE_INFINITY;
  #ms = 0;
  #begunAtMs = Number.NEGATIVE_INFINITY;

  at(nowMs: number): number {
    return this.#ms / (1 + (nowMs - this.measuredAtMs) / HALF_LIFE_MS);
  }

  /** Ignores a list that has begun before the last one that was measured: its time is older news. */
  measure(begunAtMs: number, nowMs: number): void {
    if (begunAtMs < this.#begunAtMs) return;
    this.#ms = Math.max(nowMs - begunAtMs, this.at(nowMs) * FALL);
    this.#begunAtMs = begunAtMs;
    this.measuredAtMs = nowMs;
  }

  /** Measures a list that is not over yet: the estimate may only rise. */
  measureAtLeast(begunAtMs: number, nowMs: number): void {
    if (begunAtMs < this.#begunAtMs || nowMs - begunAtMs <= this.at(nowMs)) return;
    this.#ms = nowMs - begunAtMs;
    this.measuredAtMs = nowMs;
  }
}

/** How long a store has lately taken for a list. Times are on the monotonic clock. */
export class Pace {
  readonly #answered = new Estimate();
  /** The same, or longer if there are lists without a result for longer. */
  readonly #awaited = new Estimate();

  /** A list has its result. */
  answered(sentAtMs: number, nowMs: number): void {
    this.#answered.measure(sentAtMs, nowMs);
    this.#awaited.measure(sentAtMs, nowMs);
  }

  /** A list is late. */
  late(sentAtMs: number, nowMs: number): void {
    this.#awaited.measureAtLeast(sentAtMs, nowMs);
  }

  /** How much time a call needs to be sent. */
  neededMs(nowMs: number): number {
    return this.#awaited.at(nowMs);
  }

  /** The same for a call that is sent again: that its list is late may be its own fault. */
  neededAgainMs(nowMs: number): number {
    return this.#answered.at(nowMs);
  }

  /** After how long a list is late: half of the time is kept for asking again, if that may help. */
  patienceMs(leftMs: number, nowMs: number): number {
    return Math.min(leftMs, Math.max(leftMs / 2, LATE_FACTOR * this.#answered.at(nowMs)));
  }

  /** Whether a call was made when all of this was known already. */
  isKnownAt(madeAtMs: number): boolean {
    return madeAtMs >= this.#awaited.measuredAtMs;
  }
}
