import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Answered, Asked } from "./load-worker.ts";
import { EXEC_ARGV } from "./shop.ts";
import type { DeltaAnswer, DeltaBatch } from "./stock.ts";

const SCRIPT = fileURLToPath(new URL("load-worker.ts", import.meta.url));

/** The worker was killed before it answered: what it has done, nobody knows. */
export class WorkerDiedError extends Error {
  override readonly name = "WorkerDiedError";
}

interface Waiting {
  resolve(answer: DeltaAnswer): void;
  reject(error: Error): void;
}

/** Worker processes on one database. Where one is killed, another one takes its place. */
export class Workers {
  readonly #database: string;
  readonly #slots: Worker[] = [];
  #asked = 0;

  static async start(database: string, count: number): Promise<Workers> {
    const workers = new Workers(database);
    for (let slot = 0; slot < count; slot += 1) workers.#slots.push(new Worker(database));
    await Promise.all(workers.#slots.map((worker) => worker.ready));
    return workers;
  }

  private constructor(database: string) {
    this.#database = database;
  }

  /** @throws WorkerDiedError */
  async ask(shop: string, batch: DeltaBatch): Promise<DeltaAnswer> {
    this.#asked += 1;
    const id = this.#asked;
    const worker = this.#slots[id % this.#slots.length];
    if (worker === undefined) throw new Error("There are no workers.");
    await worker.ready;
    return await worker.ask({ id, shop, batch });
  }

  /** Kills one at random with all that it is doing. Answers how many batches that were. */
  kill(): number {
    const slot = Math.floor(Math.random() * this.#slots.length);
    const interrupted = this.#slots[slot]?.kill() ?? 0;
    this.#slots[slot] = new Worker(this.#database);
    return interrupted;
  }

  stop(): void {
    for (const worker of this.#slots) worker.kill();
  }
}

/** One process, and who waits for its answers. */
class Worker {
  /** Rejects where it dies before it is. */
  readonly ready: Promise<unknown>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();

  constructor(database: string) {
    this.#child = fork(SCRIPT, [database], { execArgv: EXEC_ARGV });
    const died = once(this.#child, "exit").then(() => {
      for (const { reject } of this.#waiting.values()) reject(new WorkerDiedError());
      this.#waiting.clear();
      throw new WorkerDiedError();
    });
    this.ready = Promise.race([once(this.#child, "message"), died]);
    for (const settled of [died, this.ready]) settled.catch(() => undefined);
    this.#child.on("message", (message: Answered | "ready") => {
      if (message !== "ready") this.#answered(message);
    });
  }

  async ask(asked: Asked): Promise<DeltaAnswer> {
    return await new Promise((resolve, reject) => {
      if (!this.#child.connected) {
        reject(new WorkerDiedError());
        return;
      }
      this.#waiting.set(asked.id, { resolve, reject });
      this.#child.send(asked, () => undefined);
    });
  }

  kill(): number {
    this.#child.kill("SIGKILL");
    return this.#waiting.size;
  }

  #answered(answered: Answered): void {
    const waiting = this.#waiting.get(answered.id);
    this.#waiting.delete(answered.id);
    if ("answer" in answered) waiting?.resolve(answered.answer);
    else waiting?.reject(new Error(answered.failure));
  }
}
