import type { Timeline } from "./timeline.ts";

/** Which records transactions hold, by digest. */
export class Locks {
  readonly #timeline: Timeline;
  readonly #holders = new Map<string, object>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Whether the record is held, by another than this one. */
  isHeld(digest: string, holder?: object): boolean {
    const held = this.#holders.get(digest);
    return held !== undefined && held !== holder;
  }

  take(digest: string, holder: object): void {
    this.#holders.set(digest, holder);
  }

  /** Resolves when a record that is held is let go, at the latest after so long. */
  change(digest: string, waitMs: number): Promise<void> {
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

  /** Lets go of all that it holds. */
  unlock(holder: object): void {
    for (const [digest, each] of this.#holders) {
      if (each !== holder) continue;
      this.#holders.delete(digest);
      for (const wake of this.#waiting.get(digest) ?? []) wake();
    }
  }
}
