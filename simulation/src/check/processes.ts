import type { Event } from "../history.ts";
import type { Expect } from "./invariants.ts";

/** A process's clock may run a little fast. */
const CLOCK_SHARE = 0.8;

/** Which processes have died, are closing or were closed, and what they may do after that. */
export class Processes {
  readonly #closeBoundMs: number;
  readonly #dead = new Set<string>();
  readonly #graceEndsAtMs = new Map<string, number>();
  readonly #closedAtMs = new Map<string, number>();
  /** Processes with a function, or a step, that ended after its engine. */
  readonly #outliving = new Set<string>();

  constructor(closeBoundMs: number) {
    this.#closeBoundMs = closeBoundMs;
  }

  take(event: Event, atMs: number, expect: Expect): void {
    switch (event.kind) {
      case "sent":
        // A function that outlives its engine still reports its end.
        if (event.isEnd && this.#outliving.has(event.process)) break;
        this.#checkClosed(event.process, atMs, expect);
        break;
      case "died":
        this.#dead.add(event.process);
        break;
      case "closing":
        this.#graceEndsAtMs.set(event.process, atMs + event.graceMs * CLOCK_SHARE);
        break;
      case "closed":
        this.#closedAtMs.set(event.process, atMs);
        break;
      default:
        break;
    }
  }

  isDead(process: string): boolean {
    return this.#dead.has(process);
  }

  /** Whether its engine was asked to close. */
  isClosing(process: string): boolean {
    return this.#graceEndsAtMs.has(process);
  }

  /** A function of the process, or one of its steps, has ended. */
  noteEnd(process: string): void {
    if (this.#closedAtMs.has(process)) this.#outliving.add(process);
  }

  /** While there is grace, close waits for every call. */
  checkWaitedFor(call: number, process: string, atMs: number, expect: Expect): void {
    const closedAtMs = this.#closedAtMs.get(process);
    if (closedAtMs === undefined || closedAtMs >= atMs) return;
    const isGraceOver = closedAtMs >= (this.#graceEndsAtMs.get(process) ?? 0);
    expect(isGraceOver, "I16", `${process} was closed while call ${call} was under way`);
  }

  #checkClosed(process: string, atMs: number, expect: Expect): void {
    const closedAtMs = this.#closedAtMs.get(process);
    const isQuiet = closedAtMs === undefined || atMs <= closedAtMs + this.#closeBoundMs;
    expect(isQuiet, "I16", `${process} still sends after it was closed`);
  }
}
