import { EngineClosedError } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/**
 * What of an engine is open and running. A derived engine's lifetime is part of its parent's:
 * closing the parent closes it too, and never the other way round.
 */
export class Lifetime {
  readonly #runtime: Runtime;
  readonly #parent: Lifetime | undefined;
  readonly #onEnd = new Set<() => void>();
  readonly #onIdle = new Set<() => void>();
  #running = 0;
  #state: "open" | "closing" | "ended" = "open";
  #endsAtMs = Number.POSITIVE_INFINITY;

  constructor(runtime: Runtime, parent?: Lifetime) {
    this.#runtime = runtime;
    this.#parent = parent;
  }

  /** @throws EngineClosedError */
  checkOpen(): void {
    if (this.#state !== "open") throw new EngineClosedError();
    this.#parent?.checkOpen();
  }

  /** Whether the time for running work is over too. */
  get isEnded(): boolean {
    return this.#state === "ended" || (this.#parent?.isEnded ?? false);
  }

  /** When the time for running work is over, on the monotonic clock. Infinity until it is closed. */
  get endsAtMs(): number {
    if (this.#parent === undefined) return this.#endsAtMs;
    return Math.min(this.#endsAtMs, this.#parent.endsAtMs);
  }

  get isClosing(): boolean {
    return this.endsAtMs !== Number.POSITIVE_INFINITY;
  }

  /** Counts something as running until {@link leave}. */
  enter(): void {
    this.#running += 1;
    this.#parent?.enter();
  }

  leave(): void {
    this.#running -= 1;
    if (this.#running === 0) for (const wake of this.#onIdle) wake();
    this.#parent?.leave();
  }

  /** Calls back when the time for running work is over. The answered function takes it back. */
  onEnd(callback: () => void): () => void {
    if (this.#state === "ended") {
      callback();
      return () => undefined;
    }
    this.#onEnd.add(callback);
    const withdraw = this.#parent?.onEnd(callback);
    return () => {
      this.#onEnd.delete(callback);
      withdraw?.();
    };
  }

  /** Refuses what comes, waits for what runs, and ends the rest after graceMs. */
  async close(graceMs: number): Promise<void> {
    if (this.#state === "open") this.#state = "closing";
    this.#endsAtMs = Math.min(this.#endsAtMs, this.#runtime.monotonicMs() + graceMs);
    if (this.#running > 0 && this.#state !== "ended") await this.#idleOr(graceMs);
    this.#state = "ended";
    // Whoever called before and is more patient need not wait any longer.
    for (const wake of [...this.#onIdle]) wake();
    for (const callback of [...this.#onEnd]) callback();
    this.#onEnd.clear();
  }

  #idleOr(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        this.#onIdle.delete(finish);
        resolve();
      };
      const cancel = this.#runtime.schedule(finish, graceMs);
      this.#onIdle.add(finish);
    });
  }
}
