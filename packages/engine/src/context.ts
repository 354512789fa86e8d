import type { Resolution } from "./finding.ts";
import type { DeriveKeyOptions } from "./identity.ts";
import type { JsonLike } from "./json-like.ts";
import type { StepOptions } from "./steps.ts";
import type { NowOrLater } from "./store.ts";

/** What code under a claim may know of it. */
export interface ClaimContext {
  /** The fencing number: hand it to systems that refuse what is older than they have seen. */
  readonly token: number;
  /** Which try this is, counted from 1. */
  readonly attempt: number;
  /**
   * Aborted with a RunAbortedError when the engine is closed and its grace is over, when the lease cannot
   * be confirmed, when the claim is lost, and after `maxRunMs`.
   *
   * Whether a request that was aborted has had its effect is not known. So a function that has read this
   * signal and throws after it was aborted leaves its outcome open, whatever it throws, unless `onError`
   * is a function, which then decides, or `hold`. `engine.transaction` rolls back instead. A value that it returns is still recorded.
   */
  readonly signal: AbortSignal;
  /**
   * An idempotency key for a call to another service: the same on every attempt of this key, and another
   * one for every name. By it the service distinguishes a repetition from a new call. Default: 64 hex digits.
   *
   * The format is not kept with the record: another `format` or `length` in the code also changes the
   * derived keys of operations that are still open, so that the service runs a repetition as a new call.
   *
   * @param options for a service that takes no key of 64 hex digits; at least 120 bits
   * @throws TypeError where the name is not a text, or an option is wrong
   */
  deriveKey(name: string, options?: DeriveKeyOptions): string;
}

/** What a function under a claim may know and do. */
export interface Context extends ClaimContext {
  /**
   * A recovery point: its result is kept, so that another run of the same key skips it. A marker is
   * written before it starts, so that a crash inside is known to be one: then only `reconcile`, or a
   * policy that reruns, lets another run go on. Steps may run one after the other or side by side.
   * The operation is over when all of its steps are. Needs the option `steps: true`.
   *
   * @param name tells it from the other steps of this operation, on every attempt: 1 to 255 bytes
   * @param fn what to do. Its result must survive JSON
   * @returns the result, of `fn` or of an earlier run of it
   * After an abort of `signal` no step begins. A step whose function throws after it stays in doubt.
   *
   * @throws whatever `fn` or `reconcile` throws; StoreError if no marker could be written, so that
   *   `fn` was not run; RunAbortedError if the engine has aborted the run; LeaseLostError if the claim was
   *   lost; OutcomeUnknownError if an earlier run of it may have happened; ResultUnavailableError if it
   *   was run, but its result could not be kept; TypeError for a wrong name, function or option
   */
  step<T>(
    name: string,
    fn: () => (T & JsonLike<T>) | Promise<T & JsonLike<T>>,
    // Only `fn` says which result the step has.
    options?: StepOptions<NoInfer<T>>,
  ): Promise<T>;

  /** Decisions about steps that an earlier run, or an abort, has interrupted. */
  readonly steps: {
    /**
     * Ends the doubt about a step whose `step` call has rejected, by a finding of the function's own.
     * Until then nothing is recorded for the operation: its claim lapses, and the caller gets
     * OutcomeUnknownError.
     *
     * @param resolution `{ happened: value }` keeps the value as the step's result; after
     *   'did-not-happen' the step may be run again
     * @throws Error if the step is not in doubt; TypeError if it is no resolution; StoreError if it could
     *   not be written; LeaseLostError if the claim was lost
     */
    resolve<T>(name: string, resolution: Resolution<T & JsonLike<T>>): Promise<void>;
  };
}

/** What a function under a claim may know and do whose record is in a database with transactions. */
export interface TransactionalContext<Tx, IsSync extends boolean> extends Context {
  /**
   * Writes to the database and records the outcome in one commit: either both are there or neither.
   * Once it has committed, its value is the outcome, whatever the rest of the function does, so that a
   * function ends with `return context.transaction(...)`. A claim that was lost meanwhile rolls back.
   *
   * The claim is not renewed while it runs: it holds the record's row instead. Steps have to be over.
   *
   * @param work writes through `tx`, the driver's own transaction. It may run more than once, after a
   *   deadlock say; what earlier runs have written is rolled back. Its value must survive JSON
   * @returns the value of the work
   * @throws whatever `work` throws: then nothing was written, the claim goes on, and it may be called
   *   again; LeaseLostError if the claim was lost; StoreError if the database failed: the same,
   *   unless its cause is an UnclearCommitError: then the commit may have happened, and the outcome is left
   *   open. A StoreError that the function lets through is not recorded as its failure, unless `onError` is
   *   a function or `hold`: the claim lapses. OutcomeUnknownError, before `work` begins, if a step is in doubt. Error if it
   *   has committed already, or runs, or a step does
   */
  transaction<T>(work: (tx: Tx) => NowOrLater<T & JsonLike<T>, IsSync>): Promise<T>;
}

/** What is seen of a claim by code that may not end it. */
export function claimContextOf(claim: ClaimContext): ClaimContext {
  return {
    token: claim.token,
    attempt: claim.attempt,
    get signal() {
      return claim.signal;
    },
    deriveKey: (name, options) => claim.deriveKey(name, options),
  };
}

/** What a function sees of its claim: it cannot end it, but by returning or throwing. */
export function contextOf(
  claim: TransactionalContext<unknown, false>,
): TransactionalContext<unknown, false> {
  const step: Context["step"] = (name, fn, options) => claim.step(name, fn, options);
  const steps: Context["steps"] = {
    resolve: (name, resolution) => claim.steps.resolve(name, resolution),
  };
  const transaction: (typeof claim)["transaction"] = (work) => claim.transaction(work);
  return Object.assign(claimContextOf(claim), { step, steps, transaction });
}
