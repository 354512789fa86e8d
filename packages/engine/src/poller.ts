import type { BatchingFront } from "./batching-front.ts";
import type { Runtime } from "./runtime.ts";
import type { RecordId } from "./store.ts";
import { Alarm } from "./timing.ts";

interface Watch {
  readonly id: RecordId;
  readonly timeoutMs: number;
  /** Whom to wake, and as which owner they ask. */
  readonly wake: Map<() => void, string>;
  delayMs: number;
  dueAtMs: number;
}

const FIRST_DELAY_MS = 10;
const DELAY_MS_MAX = 100;
const DELAY_GROWTH = 1.5;
const JITTER = 0.25;
/** Polls that come due within this share a read. */
const GATHER_MS = 5;

/**
 * Waits for records that other processes work on: one read for all ids that are due, less often
 * the longer it takes, and no connection held in between.
 */
export class Poller {
  readonly #front: BatchingFront;
  readonly #runtime: Runtime;
  readonly #watches = new Map<string, Watch>();
  readonly #alarm: Alarm;

  constructor(front: BatchingFront, runtime: Runtime) {
    this.#front = front;
    this.#runtime = runtime;
    this.#alarm = new Alarm(runtime, () => this.#poll());
  }

  /**
   * Calls `wake` once when the record is no longer in progress, cannot be read, or is in progress
   * under this very owner, whose claim was granted late: then it is for the caller to ask the store,
   * and to hear of its trouble. The answered function stops the watch.
   */
  watch(id: RecordId, owner: string, timeoutMs: number, wake: () => void): () => void {
    const known = this.#watches.get(id.digest);
    const watch = known ?? this.#newWatch(id, timeoutMs);
    watch.wake.set(wake, owner);
    this.#alarm.ringBy(watch.dueAtMs);
    return () => {
      watch.wake.delete(wake);
      const isCurrent = this.#watches.get(id.digest) === watch;
      if (watch.wake.size === 0 && isCurrent) this.#watches.delete(id.digest);
      if (this.#watches.size === 0) this.#alarm.stop();
    };
  }

  #newWatch(id: RecordId, timeoutMs: number): Watch {
    const dueAtMs = this.#runtime.monotonicMs() + FIRST_DELAY_MS;
    const watch = {
      id,
      timeoutMs,
      wake: new Map<() => void, string>(),
      delayMs: FIRST_DELAY_MS,
      dueAtMs,
    };
    this.#watches.set(id.digest, watch);
    return watch;
  }

  #poll(): void {
    const nowMs = this.#runtime.monotonicMs();
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const watch of this.#watches.values()) {
      if (watch.dueAtMs > nowMs + GATHER_MS) {
        nextAtMs = Math.min(nextAtMs, watch.dueAtMs);
      } else {
        watch.dueAtMs = Number.POSITIVE_INFINITY;
        void this.#read(watch);
      }
    }
    this.#alarm.ringBy(nextAtMs);
  }

  async #read(watch: Watch): Promise<void> {
    const holder = await this.#front.read(watch.id, watch.timeoutMs).then(
      (view) => (view?.state === "in-progress" ? view.owner : undefined),
      () => undefined,
    );
    if (this.#watches.get(watch.id.digest) !== watch) return;
    for (const [wake, owner] of watch.wake) if (owner === holder) wake();
    if (watch.wake.size === 0) return;
    if (holder !== undefined) {
      watch.delayMs = Math.min(watch.delayMs * DELAY_GROWTH, DELAY_MS_MAX);
      const jitter = 1 - JITTER + 2 * JITTER * this.#runtime.random();
      watch.dueAtMs = this.#runtime.monotonicMs() + watch.delayMs * jitter;
      this.#alarm.ringBy(watch.dueAtMs);
      return;
    }
    this.#watches.delete(watch.id.digest);
    if (this.#watches.size === 0) this.#alarm.stop();
    for (const wake of watch.wake.keys()) wake();
  }
}
