import type { Timeline } from "./timeline.ts";

/** Which records a transaction holds, by digest. All others wait for them, for a bounded time. */
export class Locks {
  readonly #timeline: Timeline;
  readonly #holders = new Map<string, object>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  has(digest: string): boolean {
    return this.#holders.has(digest);
  }

  /** Resolves to whether the record was locked in time. */
  async lock(digest: string, holder: object, waitMs: number): Promise<boolean> {
    if (this.#holders.get(digest) === holder) return true;
    if (!(await this.untilFree([digest], waitMs))) return false;
    this.#holders.set(digest, holder);
    return true;
  }

  /** Resolves to whether no transaction holds one of the records, at the latest after so long. */
  async untilFree(digests: readonly string[], waitMs: number): Promise<boolean> {
    const untilMs = this.#timeline.nowMs + waitMs;
    for (;;) {
      const locked = digests.find((digest) => this.#holders.has(digest));
      if (locked === undefined) return true;
      const leftMs = untilMs - this.#timeline.nowMs;
      if (leftMs <= 0) return false;
      await this.#change(locked, leftMs);
    }
  }

  unlock(holder: object): void {
    for (const [digest, each] of this.#holders) {
      if (each !== holder) continue;
      this.#holders.delete(digest);
      for (const wake of this.#waiting.get(digest) ?? []) wake();
    }
  }

  #change(digest: string, waitMs: number): Promise<void> {
    const waiting = this.#waiting.get(digest) ?? new Set();
    this.#waiting.set(digest, waiting);
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        waiting.delete(wake);
        resolve();
      };
      const cancel = this.#timeline.after(waitMs, wake);
      waiting.add(wake);
    });
  }
}
