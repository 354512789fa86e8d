import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { bundled } from "@idemkit/source-edits";
import type { Bug } from "./bugs/bug.ts";
import type { InvariantId } from "./check/invariants.ts";

const entry = fileURLToPath(new URL("worker.ts", import.meta.url));

export interface Failure {
  readonly seed: number;
  readonly invariant: InvariantId;
  readonly what: string;
  /** What happened, in words. */
  readonly shown: string;
}

/** What a worker is to do: every `step`-th of so many seeds. */
export interface Order {
  readonly from: number;
  readonly seeds: number;
  readonly step: number;
  readonly failuresMax: number;
  /** Whether histories that break nothing are to be told as well. */
  readonly isShown: boolean;
}

export interface Report {
  /** How many seeds were done since the last report. */
  readonly done: number;
  readonly failure?: Failure;
  readonly shown?: string;
}

export interface Exploration {
  readonly from: number;
  readonly seeds: number;
  readonly bug?: Bug;
  /** Stops after so many failing seeds. Default: none. */
  readonly failuresMax?: number;
  readonly onProgress?: (done: number, failures: number) => void;
  /** Is told the histories that break nothing. */
  readonly onShown?: (shown: string) => void;
}

export interface Explored {
  readonly done: number;
  /** In the order of their seeds. */
  readonly failures: readonly Failure[];
}

/** Simulates many seeds, on all processors, and answers those that break an invariant. */
export async function explore(exploration: Exploration): Promise<Explored> {
  const { from, seeds, bug, failuresMax = Number.POSITIVE_INFINITY } = exploration;
  const { onProgress, onShown } = exploration;
  const script = await bundled(entry, bug);
  const failures: Failure[] = [];
  let done = 0;
  const workers = Math.min(availableParallelism(), seeds);
  const take = (report: Report) => {
    done += report.done;
    if (report.failure !== undefined) failures.push(report.failure);
    if (report.shown !== undefined) onShown?.(report.shown);
    onProgress?.(done, failures.length);
  };
  await Promise.all(
    Array.from({ length: workers }, (_, index) => {
      const share = { from: from + index, seeds: seeds - index, step: workers };
      const order = { ...share, failuresMax, isShown: onShown !== undefined };
      return finished(script, order, take);
    }),
  );
  return { done, failures: failures.sort((one, other) => one.seed - other.seed) };
}

function finished(script: URL, order: Order, take: (report: Report) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { workerData: order });
    worker.on("message", take);
    worker.on("error", reject);
    worker.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`A simulating worker ended with code ${code}.`));
    });
  });
}
