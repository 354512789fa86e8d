import { batchedStore, createEngine, type Engine, type Runtime, type Store } from "@idemkit/engine";
import { EVENT_NAMES } from "../../../packages/engine/src/events.ts";
import { transactOn } from "./database.ts";
import { wire } from "./network.ts";
import { recordOf } from "./server.ts";
import type { World } from "./world.ts";

/** One simulated process: its own clock, timers, owners and engine, and its own line to the store. */
export class Process {
  readonly name: string;
  readonly runtime: Runtime;
  readonly engine: Engine;
  /** The batching front without an engine, for those who use the contract directly. */
  readonly front: Store;
  isUp = true;
  /** It takes no new calls, but what runs goes on. */
  isClosing = false;
  timers = 0;
  readonly #world: World;
  readonly #rate: number;
  #pausedUntilMs = 0;
  #owners = 0;

  constructor(world: World, number: number) {
    this.#world = world;
    this.name = `P${number}`;
    const { dice, plan } = world;
    this.#rate = 1 + dice.between(-1, 1) * plan.faults.drift;
    const startMs = dice.whole(0, 1_000_000);
    const owner = number.toString(16).padStart(4, "0");
    this.runtime = {
      monotonicMs: () => startMs + world.timeline.nowMs * this.#rate,
      schedule: (task, delayMs) => this.#schedule(task, delayMs / this.#rate),
      newOwner: () => {
        this.#owners += 1;
        const minted = owner + this.#owners.toString(16).padStart(28, "0");
        world.note({ kind: "owner", process: this.name, owner: minted });
        return minted;
      },
      random: () => dice.fraction(),
      warn: (message) => {
        throw new Error(message);
      },
    };
    const wired = wire(world, this, this.name);
    const store = world.hasTransactions ? { ...wired, transact: transactOn(world, this) } : wired;
    const { leaseMs, storeTimeoutMs } = plan;
    this.engine = createEngine({ store, runtime: this.runtime, leaseMs, storeTimeoutMs });
    this.front = batchedStore(wire(world, this, `${this.name}'s front`), this.runtime);
    this.#listen();
  }

  /** Does the task later, unless the process has died by then, and not while it stands still. */
  later(delayMs: number, task: () => void): () => void {
    let isCancelled = false;
    const wake = () => {
      if (!this.isUp || isCancelled) return;
      const leftMs = this.#pausedUntilMs - this.#world.timeline.nowMs;
      if (leftMs > 0)
        cancel = this.#world.timeline.after(leftMs + this.#world.dice.fraction(), wake);
      else task();
    };
    let cancel = this.#world.timeline.after(delayMs, wake);
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** Lets time pass in the process. A dead process waits for ever. */
  pass(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.later(delayMs, resolve);
    });
  }

  die(): void {
    if (!this.isUp) return;
    this.isUp = false;
    this.timers = 0;
    this.#world.note({ kind: "died", process: this.name });
  }

  standStill(forMs: number): void {
    const untilMs = this.#world.timeline.nowMs + forMs;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs);
  }

  async close(graceMs: number): Promise<void> {
    this.isClosing = true;
    this.#world.note({ kind: "closing", process: this.name, graceMs });
    await this.engine.close({ graceMs });
    if (this.isUp) this.#world.note({ kind: "closed", process: this.name });
  }

  #schedule(task: () => void, delayMs: number): () => void {
    let isSet = true;
    this.timers += 1;
    const unset = () => {
      if (isSet && this.isUp) this.timers -= 1;
      isSet = false;
    };
    const cancel = this.later(delayMs, () => {
      unset();
      task();
    });
    return () => {
      unset();
      cancel();
    };
  }

  #listen(): void {
    const world = this.#world;
    for (const name of EVENT_NAMES) {
      this.engine.on(name, (event) => {
        if (!this.isUp) return;
        // The cause of an error is the driver's own, and its details are for the log of its owner.
        const text = JSON.stringify(event, (_key, value: unknown) =>
          value instanceof Error ? value.message : value,
        );
        const { digest, token } = event as { readonly digest: string; readonly token?: number };
        const stored = world.server.records.get(digest);
        const of = stored !== undefined && token !== undefined;
        const about = {
          process: this.name,
          name,
          ...(of && { record: recordOf(stored.id), token }),
        };
        world.note({ kind: "heard", ...about, text: `${name} ${text}` });
      });
    }
  }
}
