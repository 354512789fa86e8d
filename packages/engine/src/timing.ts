import type { Runtime } from "./runtime.ts";

/** Something did not settle within its time. */
export class TimedOutError extends Error {
  override readonly name = "TimedOutError";
  readonly code = "TIMED_OUT";
}

/**
 * A call to the store failed in this process, before anything was sent.
 *
 * - `QUEUE_FULL`: too many calls wait already.
 * - `NOT_SENT`: the call has waited for its turn until there was too little time left for a result.
 */
export class NotSentError extends Error {
  override readonly name = "NotSentError";
  readonly code: "QUEUE_FULL" | "NOT_SENT";

  constructor(code: "QUEUE_FULL" | "NOT_SENT", why: string) {
    super(
      `Nothing was sent to the store: ${why}. Retry later with the same key, and send fewer at once.`,
    );
    this.code = code;
  }
}

/**
 * Settles as the promise does, or rejects once the time is over. What the promise does after that
 * is of no consequence any more.
 */
export function within<T>(
  runtime: Runtime,
  timeoutMs: number,
  promise: Promise<T>,
  what: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = runtime.schedule(
      () => reject(new TimedOutError(`${what} took longer than ${Math.round(timeoutMs)} ms.`)),
      timeoutMs,
    );
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}

/** Lets time pass, or less of it: `onStop` takes a callback that ends the pause early. */
export function pause(
  runtime: Runtime,
  delayMs: number,
  onStop: (stop: () => void) => () => void = () => () => undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      withdraw();
      resolve();
    };
    const cancel = runtime.schedule(finish, delayMs);
    const withdraw = onStop(() => queueMicrotask(finish));
  });
}

/** Lets at most so many tasks run at once; the others wait for their turn, in order. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnceMax: number) {
    this.#free = atOnceMax;
  }

  async take<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/** One timer that rings at the earliest of the times it was given, and then has to be set again. */
export class Alarm {
  readonly #runtime: Runtime;
  readonly #ring: () => void;
  #atMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(runtime: Runtime, ring: () => void) {
    this.#runtime = runtime;
    this.#ring = ring;
  }

  /** @param atMs on the monotonic clock; infinity sets nothing */
  ringBy(atMs: number): void {
    if (atMs >= this.#atMs) return;
    this.stop();
    this.#atMs = atMs;
    const delayMs = Math.max(0, atMs - this.#runtime.monotonicMs());
    this.#cancel = this.#runtime.schedule(() => {
      this.stop();
      this.#ring();
    }, delayMs);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#atMs = Number.POSITIVE_INFINITY;
  }
}

/** After so long without a new measurement only half of an estimate counts. */
const HALF_LIFE_MS = 10_000;
/** To which share an estimate falls with one shorter measurement. */
const FALL = 1 / 4;

/**
 * How long something has lately taken. It rises at once, and falls with shorter measurements and with
 * time that passes.
 */
export class Estimate {
  /** When it was measured last. */
  measuredAtMs = Number.NEGATIVE_INFINITY;
  #ms = 0;
  #begunAtMs = Number.NEGATIVE_INFINITY;

  at(nowMs: number): number {
    return this.#ms === 0 ? 0 : this.#ms * 0.5 ** ((nowMs - this.measuredAtMs) / HALF_LIFE_MS);
  }

  /** Ignores what has begun before the last one that was measured: it is older news. */
  measure(begunAtMs: number, nowMs: number): void {
    if (begunAtMs < this.#begunAtMs) return;
    this.#ms = Math.max(nowMs - begunAtMs, this.at(nowMs) * FALL);
    this.#begunAtMs = begunAtMs;
    this.measuredAtMs = nowMs;
  }
}
