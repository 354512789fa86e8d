import { decodeValue, encodeValue } from "./body.ts";
import { describe, shown } from "./describe.ts";
import {
  LeaseLostError,
  OutcomeUnknownError,
  ResultUnavailableError,
  StoreError,
} from "./errors.ts";
import { textProblem } from "./identity.ts";
import { StepLog, type StepState } from "./step-log.ts";
import type { Checkpoint } from "./store.ts";

/** What somebody found out about work that was interrupted: whether it happened, and with what result. */
export type Finding<T> = { readonly happened: T } | "did-not-happen" | "still-unknown";

export interface StepOptions<T> {
  /**
   * Asked where an earlier run was interrupted inside this step: whether it happened. It should ask
   * whoever the step called, by a key from `deriveKey`. With it a step that was interrupted can be
   * resumed under at-most-once as well.
   */
  readonly reconcile?: () => Finding<T> | Promise<Finding<T>>;
}

/** What steps need of the claim that they run under. */
export interface StepsOfClaim {
  readonly attempt: number;
  readonly token: number;
  /** The log as the claim was granted. */
  readonly checkpoint: Checkpoint | undefined;
  /** Whether a step may be run again of which nobody knows whether it happened. */
  readonly mayRepeat: boolean;
  /** Writes the log, under the fence. Answers whether the claim still holds. */
  save(checkpoint: Checkpoint): Promise<boolean>;
}

const STEPS_MAX = 1_000;
/** Of all results together: what the contract says that every store takes. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
const NAME_BYTES_MAX = 255;

/**
 * Recovery points of one claim. Before a step begins a marker is written, and when it is over its
 * result, so that another run knows which steps are done and which were interrupted.
 */
export class Steps {
  readonly #claim: StepsOfClaim;
  readonly #log: StepLog;
  readonly #names = new Set<string>();
  readonly #running = new Set<Promise<unknown>>();
  #revision: number;
  #isSaved = true;
  #isInDoubt = false;
  /** The write that is under way. */
  #writing: Promise<unknown> = Promise.resolve();
  /** The write that comes after it, for all who have changed the log meanwhile. */
  #next: Promise<Error | undefined> | undefined;

  /** @throws SyntaxError where the claim's checkpoint is no step log */
  constructor(claim: StepsOfClaim) {
    this.#claim = claim;
    this.#log = StepLog.from(claim.checkpoint);
    this.#revision = claim.checkpoint?.revision ?? 0;
  }

  /** Whether a step found that it cannot know whether it happened: then nothing may be decided. */
  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  run<T>(name: string, fn: () => T | Promise<T>, options: StepOptions<T>): Promise<T> {
    const problem = this.#problemWith(name, fn, options);
    if (problem !== undefined) return Promise.reject(new TypeError(problem));
    this.#names.add(name);
    const step = this.#run(name, fn, options).finally(() => this.#running.delete(step));
    this.#running.add(step);
    return step;
  }

  /** Waits until no step is under way: the run is over when its steps are. */
  async finished(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Makes sure that the store knows which steps failed. Answers what is wrong. */
  async saved(): Promise<Error | undefined> {
    await this.finished();
    return this.#isSaved ? undefined : await this.#save();
  }

  #problemWith(name: unknown, fn: unknown, options: unknown): string | undefined {
    const problem = textProblem(name);
    if (problem !== undefined) return `step: ${problem} as its name.`;
    if (Buffer.byteLength(name as string) > NAME_BYTES_MAX) {
      return `step: expected a name of at most ${NAME_BYTES_MAX} bytes of UTF-8.`;
    }
    if (typeof fn !== "function") {
      return `step: expected a function after the name, got ${describe(fn)}.`;
    }
    const isKnown = Object.keys(options as object).every((option) => option === "reconcile");
    if (!isKnown) return "step: no such option. Expected { reconcile }.";
    const { reconcile } = options as StepOptions<unknown>;
    if (reconcile !== undefined && typeof reconcile !== "function") {
      return `reconcile: expected a function, got ${describe(reconcile)}.`;
    }
    if (this.#names.has(name as string)) {
      return `step: there was a step ${shown(name)} in this run. Each needs a name of its own.`;
    }
    return this.#names.size < STEPS_MAX ? undefined : `step: more than ${STEPS_MAX} steps.`;
  }

  async #run<T>(name: string, fn: () => T | Promise<T>, { reconcile }: StepOptions<T>): Promise<T> {
    const known = this.#log.get(name);
    if (known !== undefined && known.begun === undefined) return this.#kept<T>(known.body);
    if (known !== undefined) {
      const found = await this.#findOut(reconcile);
      if (found !== undefined) return await this.#keep(name, found.happened);
    }
    const begun = reconcile === undefined ? "once" : "reconcilable";
    if (known?.begun !== begun) {
      this.#log.set(name, { begun });
      const wrong = await this.#save();
      if (wrong !== undefined) {
        this.#putBack(name, known);
        throw wrong;
      }
    }
    let value: T;
    try {
      value = await fn();
    } catch (error) {
      // It is known how this one ended. The store is told with the next write, or before a release.
      this.#putBack(name, undefined);
      throw error;
    }
    return await this.#keep(name, value);
  }

  /** What came of a step that was interrupted; nothing where it is to be run. */
  async #findOut<T>(
    reconcile: StepOptions<T>["reconcile"],
  ): Promise<{ readonly happened: T } | undefined> {
    if (reconcile === undefined) {
      if (this.#claim.mayRepeat) return undefined;
      throw this.#doubt();
    }
    const found = await this.#asked(async () => checkedFinding(await reconcile()));
    if (found === "did-not-happen") return undefined;
    if (found === "still-unknown") throw this.#doubt();
    return found;
  }

  /** Whoever cannot be asked has not said that it did not happen. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      this.#isInDoubt = true;
      throw error;
    }
  }

  /**
   * The result counts even where the log could not be written: the next write carries it too, and
   * until then its marker says that it was interrupted.
   */
  async #keep<T>(name: string, value: T): Promise<T> {
    const leftBytes = LOG_BYTES_MAX - Buffer.byteLength(this.#log.toString());
    const { body } = encodeValue(value, Math.max(0, leftBytes));
    this.#log.set(name, { body });
    const wrong = await this.#save();
    if (wrong instanceof LeaseLostError) throw new LeaseLostError({ token: wrong.token, value });
    return value;
  }

  #putBack(name: string, state: StepState | undefined): void {
    if (state === undefined) this.#log.delete(name);
    else this.#log.set(name, state);
    this.#isSaved = false;
  }

  #kept<T>(body: string): T {
    const decoded = this.#decoded(body);
    if (decoded.kept) return decoded.value as T;
    this.#isInDoubt = true;
    const { attempt, token } = this.#claim;
    throw new ResultUnavailableError({ why: decoded.why, attempt, token });
  }

  /** A result that another release has kept in another way is no failure of the work. */
  #decoded(body: string) {
    try {
      return decodeValue(body);
    } catch {
      this.#isInDoubt = true;
      throw new StoreError("claim", new Error("The stored result of a step cannot be read."));
    }
  }

  #doubt(): OutcomeUnknownError {
    this.#isInDoubt = true;
    const { attempt, token } = this.#claim;
    return new OutcomeUnknownError({ reason: "lapsed", attempt, token });
  }

  /** Writes the log as it is once the write under way is over. All who wait for that share one write. */
  #save(): Promise<Error | undefined> {
    this.#isSaved = false;
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      const write = this.#write();
      this.#writing = write;
      return write;
    });
    return this.#next;
  }

  async #write(): Promise<Error | undefined> {
    this.#revision += 1;
    this.#isSaved = true;
    const checkpoint = { revision: this.#revision, value: this.#log.toString() };
    try {
      if (await this.#claim.save(checkpoint)) return undefined;
      return new LeaseLostError({ token: this.#claim.token });
    } catch (error) {
      this.#isSaved = false;
      return error instanceof Error ? error : new StoreError("renew", error);
    }
  }
}

/** @throws TypeError where the answer is none: nothing may be concluded from it */
export function checkedFinding<T>(found: Finding<T>): Finding<T> {
  const isObject = typeof found === "object" && found !== null && "happened" in found;
  if (isObject || found === "did-not-happen" || found === "still-unknown") return found;
  throw new TypeError(
    "reconcile: expected { happened: value }, 'did-not-happen' or 'still-unknown', " +
      `got ${shown(found)}.`,
  );
}
