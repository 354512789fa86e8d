import { parentPort, workerData } from "node:worker_threads";
import { check } from "./check/checker.ts";
import type { Failure, Order, Report } from "./explore.ts";
import { print } from "./print.ts";
import { simulate } from "./simulate.ts";

const REPORT_EVERY = 250;

/** Simulates the seeds that it was given and tells which of them break an invariant. */
async function work({ from, seeds, step, failuresMax, isShown }: Order): Promise<void> {
  const tell = (report: Report) => parentPort?.postMessage(report);
  let failures = 0;
  let done = 0;
  for (let seed = from; seed < from + seeds && failures < failuresMax; seed += step) {
    const { failure, shown } = await tried(seed, isShown);
    done += 1;
    if (failure !== undefined || shown !== undefined || done === REPORT_EVERY) {
      if (failure !== undefined) failures += 1;
      tell({ done, ...(failure && { failure }), ...(shown && { shown }) });
      done = 0;
    }
  }
  tell({ done });
}

async function tried(
  seed: number,
  isShown: boolean,
): Promise<{ readonly failure?: Failure; readonly shown?: string }> {
  try {
    const history = await simulate(seed);
    const [violation] = check(history);
    if (violation === undefined) return isShown ? { shown: print(history) } : {};
    const { invariant, what } = violation;
    return { failure: { seed, invariant, what, shown: print(history, violation) } };
  } catch (error) {
    // A world that cannot go on: the engine threw what it never should.
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { failure: { seed, invariant: "I14", what, shown: what } };
  }
}

// Worlds are full of errors that nobody looks at: their stacks would cost a tenth of the time.
Error.stackTraceLimit = 0;
await work(workerData as Order);
