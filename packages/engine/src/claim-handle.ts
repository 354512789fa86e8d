import type { Context, TransactionalContext } from "./context.ts";
import type { ErrorPolicy, Guarantee } from "./policies.ts";

/** What came of writing an outcome. */
export interface Written {
  /**
   * Whether the outcome is known to be in the store. If not, the value is real all the same, and
   * duplicates are treated as if this process had died.
   */
  readonly recorded: boolean;
  /** What the store said, where that is why it is not known. */
  readonly error?: unknown;
}

/** How a claim was ended for an error: by a policy, or its outcome was left open. */
export interface PolicyEnd extends Written {
  readonly kind: ErrorPolicy | "open";
}

export interface PolicyEndOptions {
  /** The policy if the engine has no `onError`, instead of the default for the guarantee. */
  readonly byDefault?: ErrorPolicy;
  /**
   * The policy, whatever the engine's `onError` says. As an `onError` that is no function it does not decide
   * about an abort or a step in doubt.
   */
  readonly policy?: ErrorPolicy;
  /** A result that is recorded in place of the failure, where the policy is `record`. */
  readonly value?: unknown;
  /** The failure as it is recorded, if that is not the error itself. */
  readonly failure?: unknown;
}

/**
 * A claim that was granted by `begin`. Exactly one of its endings has to be called, once;
 * until then it is renewed. All but `release` throw LeaseLostError if the claim was lost.
 *
 * If the engine has aborted `signal` after the caller had read it, `fail` and `release` decide nothing:
 * an aborted request may have had its effect. They leave the outcome open, with `recorded: false`.
 */
export interface ClaimHandle extends Context {
  /** Whether somebody else's lapsed claim was taken over: its effects may have happened in part. */
  readonly takenOver: boolean;
  /** What was asked for where it was begun. */
  readonly guarantee: Guarantee;
  /** Epoch milliseconds on the store's clock. */
  readonly createdAt: number;
  /**
   * Records the result. Duplicates get it again.
   *
   * @throws OutcomeUnknownError, which carries the value, if a step is in doubt: then nothing is recorded
   */
  complete(value: unknown): Promise<Written>;
  /**
   * Records the failure. Duplicates get ReplayedError with it as the cause. If a step is in doubt,
   * nothing is decided: the claim lapses instead.
   */
  fail(error: unknown): Promise<Written>;
  /**
   * Gives the key back: the next caller runs. Only right where nothing happened. A claim that took
   * over lapses at once instead: the work that it took over is as open as before, so that only a call which
   * may take over runs. Does not throw where the claim was lost meanwhile: then there is nothing
   * to give back (`recorded: false`).
   */
  release(): Promise<Written>;
  /** Records the outcome as unknown, with what is known of it, for an operator to settle. */
  hold(evidence: unknown): Promise<Written>;
  /**
   * Ends the claim as `execute` does for a function that throws this error: by the engine's `onError`, or
   * its default for the guarantee. The outcome is left open if a step is in doubt, if the store failed
   * under the claim, or if the engine has aborted the run.
   *
   * @param error is given to an `onError` function, and kept as the failure or the evidence
   */
  endByPolicy(error: unknown, options?: PolicyEndOptions): Promise<PolicyEnd>;
}

/** A claim of an engine on a store with transactions. */
export interface TransactionalClaimHandle<Tx, IsSync extends boolean>
  extends ClaimHandle,
    TransactionalContext<Tx, IsSync> {}
