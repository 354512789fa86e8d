import { parentPort, workerData } from "node:worker_threads";
import { check } from "./check/checker.ts";
import type { Failure, Order, Report } from "./explore.ts";
import { simulate } from "./simulate.ts";

const REPORT_EVERY = 250;

/** Simulates the seeds that it was given and tells which of them break an invariant. */
async function work({ from, seeds, step, failuresMax }: Order): Promise<void> {
  const tell = (report: Report) => parentPort?.postMessage(report);
  let failures = 0;
  let done = 0;
  for (let seed = from; seed < from + seeds && failures < failuresMax; seed += step) {
    const failure = await failureOf(seed);
    done += 1;
    if (failure !== undefined) {
      failures += 1;
      tell({ done, failure });
      done = 0;
    } else if (done === REPORT_EVERY) {
      tell({ done });
      done = 0;
    }
  }
  tell({ done });
}

async function failureOf(seed: number): Promise<Failure | undefined> {
  try {
    const history = await simulate(seed);
    const [violation] = check(history);
    return violation && { seed, invariant: violation.invariant, what: violation.what };
  } catch (error) {
    // A world that cannot go on: the engine threw what it never should.
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { seed, invariant: "I14", what };
  }
}

// Worlds are full of errors that nobody looks at: their stacks would cost a tenth of the time.
Error.stackTraceLimit = 0;
await work(workerData as Order);
