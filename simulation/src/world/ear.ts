import type { ClaimContext, RunAbortedError } from "@idemkit/engine";
import { Declined } from "./declined.ts";
import type { Listening } from "./draw-call.ts";
import type { World } from "./world.ts";

/** How a function deals with the signal of its run. */
export class Ear {
  readonly #signal: AbortSignal | undefined;
  readonly #listening: Listening;

  /** Reads the signal, unless the function never does, and writes down when it is aborted. */
  constructor(world: World, call: number, context: ClaimContext, listening: Listening) {
    this.#listening = listening;
    if (listening === "never reads it") return;
    const { signal } = context;
    this.#signal = signal;
    world.note({ kind: "listens", call });
    const note = () => {
      const { reason } = signal.reason as RunAbortedError;
      world.note({ kind: "aborted", call, reason });
    };
    if (signal.aborted) note();
    else signal.addEventListener("abort", note, { once: true });
  }

  /** What is begun and waited for, or what the function throws when its signal is aborted. */
  until<T>(begin: () => Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined || this.#listening === "goes on") return begin();
    return new Promise((resolve, reject) => {
      const leave = () => reject(this.#error(signal));
      if (signal.aborted) {
        leave();
        return;
      }
      signal.addEventListener("abort", leave, { once: true });
      begin()
        .finally(() => signal.removeEventListener("abort", leave))
        .then(resolve, reject);
    });
  }

  #error({ reason }: AbortSignal): unknown {
    return this.#listening === "throws the reason" ? reason : new Declined("the wait was cut off");
  }
}
