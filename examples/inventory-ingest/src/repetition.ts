import { setTimeout as sleep } from "node:timers/promises";

const RUNS_MAX = 20;
const FIRST_PAUSE_MS = 5;
const PAUSE_MS_MAX = 500;
const PAUSE_GROWTH = 2;
const CAUSES_MAX = 5;

/** Runs the whole again after what a database does to a transaction that is not its own fault. */
export async function repeated<T>(
  run: () => Promise<T>,
  isPassing: (error: unknown) => boolean,
): Promise<T> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let runs = 1; ; runs += 1) {
    try {
      return await run();
    } catch (error) {
      if (runs === RUNS_MAX || !isPassing(error)) throw error;
    }
    // Rivals that begin again in step would meet again.
    await sleep(pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(pauseMs * PAUSE_GROWTH, PAUSE_MS_MAX);
  }
}

/** The error and what it was caused by: the engine wraps the driver's own. */
export function withCauses(error: unknown): readonly unknown[] {
  const causes: unknown[] = [];
  for (let cause = error; causes.length < CAUSES_MAX && cause instanceof Error; ) {
    causes.push(cause);
    cause = cause.cause;
  }
  return causes;
}
