import { decodeValue, encodeValue } from "./body.ts";
import { describe, shown } from "./describe.ts";
import {
  LeaseLostError,
  OutcomeUnknownError,
  ResultUnavailableError,
  StoreError,
} from "./errors.ts";
import { checkedFinding, type Finding, type Resolution } from "./finding.ts";
import { textProblem } from "./identity.ts";
import { type Begun, StepLog, type StepState } from "./step-log.ts";
import type { Checkpoint } from "./store.ts";
import { mayHaveHappened } from "./undecided.ts";

export interface StepOptions<T> {
  /**
   * Asked whether this step happened, if an earlier run was interrupted inside it. It should ask the
   * system that the step called, by a key from `deriveKey`. With it an interrupted step can be resumed
   * under at-most-once as well.
   *
   * It is asked once `settleAfterMs` has passed since the lease of that run ended. If it throws, the step
   * stays in doubt. Return 'did-not-happen' only if the first request can no longer reach the called system.
   */
  readonly reconcile?: () => Finding<T> | Promise<Finding<T>>;
}

/** The claim that steps run under. */
export interface StepsOfClaim {
  readonly attempt: number;
  readonly token: number;
  /** The log as the claim was granted. */
  readonly checkpoint: Checkpoint | undefined;
  /** Whether a step whose occurrence is unknown may be run again. */
  readonly mayRepeat: boolean;
  abortReason(): Error | undefined;
  checkLease(): void;
  /** Resolves once a request of the earlier run can no longer be on its way. */
  settled(): Promise<void>;
  /** Writes the log, under the fence. Returns whether the claim still holds. */
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
  readonly #running = new Map<string, Promise<unknown>>();
  /** Steps of this run that the abort has interrupted. */
  readonly #cutOff = new Set<string>();
  #revision: number;
  #isSaved = true;
  #hasRejected = false;
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

  /** Whether a step of an earlier run may or may not have happened: then nothing may be decided. */
  get isInDoubt(): boolean {
    return this.#doubts.some((name) => !this.#cutOff.has(name));
  }

  /** Whether the abort has interrupted a step, or kept one from running. */
  get isCutOff(): boolean {
    return this.#hasRejected || this.#cutOff.size > 0;
  }

  get hasDoubts(): boolean {
    return this.#doubts.length > 0;
  }

  /** Steps that were begun and are not over. One that may be repeated is in doubt only once it was called. */
  get #doubts(): readonly string[] {
    const isInDoubt = (name: string) => !this.#claim.mayRepeat || this.#names.has(name);
    return [...this.#log.entries()].flatMap(([name, { begun }]) =>
      begun !== undefined && isInDoubt(name) ? name : [],
    );
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  run<T>(name: string, fn: () => T | Promise<T>, options: StepOptions<T>): Promise<T> {
    const problem = this.#problemWith(name, fn, options);
    if (problem !== undefined) return Promise.reject(new TypeError(problem));
    this.#names.add(name);
    const step = this.#run(name, fn, options).finally(() => this.#running.delete(name));
    this.#running.set(name, step);
    return step;
  }

  /** Ends the doubt about a step. After 'did-not-happen' it may be run again. */
  async resolve<T>(name: string, resolution: Resolution<T>): Promise<void> {
    const found = checkedFinding(resolution as Finding<T>, "steps.resolve");
    if (found === "still-unknown") {
      throw new TypeError(
        "steps.resolve: 'still-unknown' resolves nothing: leave the step as it is.",
      );
    }
    if (this.#running.has(name) || !this.#doubts.includes(name)) {
      throw new Error(`steps.resolve: the step ${shown(name)} is not in doubt.`);
    }
    const known = this.#log.get(name);
    this.#putBack(name, found === "did-not-happen" ? undefined : this.#encoded(found.happened));
    const wrong = await this.#save();
    if (wrong !== undefined) {
      this.#putBack(name, known);
      throw wrong;
    }
    this.#names.delete(name);
    this.#cutOff.delete(name);
  }

  /**
   * Waits for the steps under way: the run is over when its steps are. Another one may have begun by the
   * time the caller goes on, so that it has to look again.
   */
  async finished(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  /** Makes sure that the store knows which steps failed. Returns the error if it could not. */
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
    this.#checkNotAborted();
    await this.#mark(name, known, reconcile === undefined ? "once" : "reconcilable");
    let value: T;
    try {
      value = await fn();
    } catch (error) {
      // Its request may still be on its way, whatever the error says.
      if (this.#claim.abortReason() !== undefined) this.#cutOff.add(name);
      // It is known how this one ended, unless it was another call that was interrupted. The next write,
      // or the one before a release, says so.
      else if (!mayHaveHappened(error)) this.#putBack(name, undefined);
      throw error;
    }
    return await this.#keep(name, value);
  }

  /** Writes that a step begins. Unless that is known to the store, it must not run. */
  async #mark(name: string, known: StepState | undefined, begun: Begun): Promise<void> {
    if (known?.begun !== begun) {
      this.#log.set(name, { begun });
      const wrong = await this.#save();
      if (wrong !== undefined) {
        // It has not run, so that the function may try again.
        this.#putBack(name, known);
        this.#names.delete(name);
        throw wrong;
      }
    }
    // The process may have stood still for long: the step would run beside that of another one.
    this.#claim.checkLease();
    if (this.#claim.abortReason() !== undefined) this.#putBack(name, known);
    this.#checkNotAborted();
  }

  /** A step that the abort keeps from running has not happened, but the function may throw because of it. */
  #checkNotAborted(): void {
    const reason = this.#claim.abortReason();
    if (reason === undefined) return;
    this.#hasRejected = true;
    throw reason;
  }

  /** The result of a step that was interrupted; nothing if it is to be run. */
  async #findOut<T>(
    reconcile: StepOptions<T>["reconcile"],
  ): Promise<{ readonly happened: T } | undefined> {
    if (reconcile === undefined) {
      if (this.#claim.mayRepeat) return undefined;
      throw this.#doubt();
    }
    await this.#claim.settled();
    this.#checkNotAborted();
    const found = checkedFinding(await reconcile(), "reconcile");
    if (found === "did-not-happen") return undefined;
    if (found === "still-unknown") throw this.#doubt();
    return found;
  }

  /**
   * The result counts even where the log could not be written: the next write carries it too, and
   * until then its marker says that it was interrupted.
   */
  async #keep<T>(name: string, value: T): Promise<T> {
    this.#log.set(name, this.#encoded(value));
    const wrong = await this.#save();
    if (wrong instanceof LeaseLostError) throw new LeaseLostError({ token: wrong.token, value });
    return value;
  }

  #encoded(value: unknown): StepState {
    const leftBytes = LOG_BYTES_MAX - Buffer.byteLength(this.#log.toString());
    return { body: encodeValue(value, Math.max(0, leftBytes)).body };
  }

  #putBack(name: string, state: StepState | undefined): void {
    if (state === undefined) this.#log.delete(name);
    else this.#log.set(name, state);
    this.#isSaved = false;
  }

  #kept<T>(body: string): T {
    const decoded = this.#decoded(body);
    if (decoded.kept) return decoded.value as T;
    const { attempt, token } = this.#claim;
    throw new ResultUnavailableError({ why: decoded.why, attempt, token });
  }

  #decoded(body: string) {
    try {
      return decodeValue(body);
    } catch {
      const why = new Error("The stored result of a step cannot be read.");
      throw new StoreError("claim", why);
    }
  }

  #doubt(): OutcomeUnknownError {
    const { attempt, token } = this.#claim;
    return new OutcomeUnknownError({ reason: "step-in-doubt", attempt, token });
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
      // That the claim is lost is no failure of the work, whichever step learns of it.
      this.#hasRejected = true;
      return new LeaseLostError({ token: this.#claim.token });
    } catch (error) {
      this.#isSaved = false;
      return error instanceof Error ? error : new StoreError("renew", error);
    }
  }
}
