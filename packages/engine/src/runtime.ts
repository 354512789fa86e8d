import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";

/**
 * All that the engine takes from the world besides its store. It reads no other clock, sets no
 * other timer, draws no other random number and emits no other warning, so that a simulator can
 * stand in for all four.
 */
export interface Runtime {
  /** Milliseconds on a clock that never goes back. Only differences of it are used. */
  readonly monotonicMs: () => number;
  /** Runs the task once after delayMs. The answer cancels it. */
  readonly schedule: (task: () => void, delayMs: number) => () => void;
  /** An owner: 128 random bits as 32 lower-case hex digits. */
  readonly newOwner: () => string;
  /** A number from 0 up to but not including 1, for jitter. */
  readonly random: () => number;
  /** Emits a process warning. The message holds no key, payload or error text. */
  readonly warn: (message: string) => void;
}

/** A timer of Node with a longer delay fires at once. */
const TIMER_MS_MAX = 2_147_483_647;
const OWNER_BYTES = 16;
const OWNERS_PER_DRAW = 256;

/** Draws random bytes for many owners at once: one system call a draw instead of one an owner. */
function ownerSource(): () => string {
  let drawn = Buffer.alloc(0);
  let used = 0;
  return () => {
    if (used === drawn.length) {
      drawn = randomBytes(OWNER_BYTES * OWNERS_PER_DRAW);
      used = 0;
    }
    used += OWNER_BYTES;
    return drawn.toString("hex", used - OWNER_BYTES, used);
  };
}

export const nodeRuntime: Runtime = {
  monotonicMs: () => performance.now(),
  schedule: (task, delayMs) => {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number) => {
      const isLast = leftMs <= TIMER_MS_MAX;
      timer = isLast
        ? setTimeout(task, leftMs)
        : setTimeout(wait, TIMER_MS_MAX, leftMs - TIMER_MS_MAX);
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
  newOwner: ownerSource(),
  random: Math.random,
  warn: (message) => process.emitWarning(message, "IdempotencyWarning"),
};
