import TinyQueue from "tinyqueue";

interface Task {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

const STEPS_MAX = 60_000;

/**
 * Virtual time. One task runs at a time, and all that follows from it without time passing is over
 * before the next one starts, so that a seed always gives the same history.
 */
export class Timeline {
  nowMs = 0;
  #steps = 0;
  #orders = 0;
  readonly #tasks = new TinyQueue<Task>(
    [],
    (one, other) => one.atMs - other.atMs || one.order - other.order,
  );

  /** Whether the world went on and on instead of coming to rest. */
  get isEndless(): boolean {
    return this.#steps >= STEPS_MAX;
  }

  after(delayMs: number, run: () => void): () => void {
    this.#orders += 1;
    const atMs = this.nowMs + Math.max(0, delayMs);
    const task: Task = { atMs, order: this.#orders, run, isCancelled: false };
    this.#tasks.push(task);
    return () => {
      task.isCancelled = true;
    };
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Runs all tasks in the order of their times, until there are none. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          const task = this.#next();
          if (task === undefined || this.isEndless) {
            resolve();
            return;
          }
          this.#steps += 1;
          this.nowMs = task.atMs;
          task.run();
        } catch (error) {
          reject(error);
          return;
        }
        // Immediates come one by one, each after all promises of the one before.
        setImmediate(step);
      };
      setImmediate(step);
    });
  }

  #next(): Task | undefined {
    let task = this.#tasks.pop();
    while (task?.isCancelled) task = this.#tasks.pop();
    return task;
  }
}
