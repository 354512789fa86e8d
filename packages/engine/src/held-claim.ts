import { encodeError, encodeEvidence, encodeValue } from "./body.ts";
import { ClaimEnd } from "./claim-end.ts";
import type {
  PolicyEnd,
  PolicyEndOptions,
  TransactionalClaimHandle,
  Written,
} from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { stepsUnder } from "./claim-steps.ts";
import { type Decided, transactUnder } from "./claim-transaction.ts";
import type { Context } from "./context.ts";
import { LeaseLostError, OutcomeUnknownError } from "./errors.ts";
import type { Flight } from "./flights.ts";
import { type DeriveKeyOptions, derivedKey } from "./identity.ts";
import { Lease } from "./lease.ts";
import type { ErrorPolicy, Guarantee } from "./policies.ts";
import { endFailed } from "./run.ts";
import type { RunAbortedError } from "./run-abort.ts";
import { interruptionOf, isStepLog } from "./step-log.ts";
import type { StepOptions, Steps } from "./steps.ts";
import type { Checkpoint, Claim, Claimed, ClaimRequest } from "./store.ts";

export class HeldClaim implements TransactionalClaimHandle<unknown, false> {
  readonly token: number;
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly guarantee: Guarantee;
  readonly createdAt: number;
  readonly #scope: ClaimScope;
  readonly #request: ClaimRequest;
  readonly #claim: Claim;
  readonly #checkpoint: Checkpoint | undefined;
  readonly #lease: Lease;
  readonly #end: ClaimEnd;
  #steps: Steps | undefined;
  #transacting: Promise<unknown> | undefined;
  #decided: Decided | undefined;
  #cutOffBy: RunAbortedError | undefined;

  constructor(scope: ClaimScope, flight: Flight, claimed: Claimed, sentAtMs: number) {
    this.#scope = scope;
    this.#request = flight.request;
    this.token = claimed.token;
    this.attempt = claimed.attempt;
    this.takenOver = claimed.takenOver;
    this.guarantee = scope.settings.guarantee;
    this.createdAt = claimed.createdAt;
    this.#checkpoint = claimed.checkpoint;
    const { id, owner } = flight.request;
    this.#claim = { id, owner, token: claimed.token };
    this.#lease = new Lease(scope, flight, claimed, sentAtMs);
    this.#end = new ClaimEnd(scope, this.#claim, this.#lease);
  }

  get signal(): AbortSignal {
    return this.#lease.abort.signal;
  }

  /** Why the engine has aborted the run, if it has. */
  get abortReason(): RunAbortedError | undefined {
    return this.#lease.abort.reason ?? this.#cutOffBy;
  }

  /** How long the lease before had been over at least when this claim took over. */
  get tookOverAfterMs(): number {
    return this.#request.takeOverAfterMs ?? 0;
  }

  /** How events identify the attempt. */
  get about() {
    return this.#lease.about;
  }

  deriveKey(name: string, options?: DeriveKeyOptions): string {
    return derivedKey(this.#claim.id, name, options);
  }

  async step<T>(name: string, fn: () => T | Promise<T>, options: StepOptions<T> = {}): Promise<T> {
    return await this.#openSteps("step").run(name, fn, options);
  }

  get steps(): Context["steps"] {
    return {
      resolve: async (name, resolution) =>
        await this.#openSteps("steps.resolve").resolve(name, resolution),
    };
  }

  /** What a transaction decides, whether the function has waited for it or not. That stands. */
  get decision(): Promise<Decided | undefined> | undefined {
    return this.#transacting?.then(() => this.#decided);
  }

  /** See `TransactionalContext.transaction`. */
  async transaction<T>(fn: (tx: unknown) => T | Promise<T>): Promise<T> {
    const steps = this.#knownSteps();
    if (steps?.isRunning) {
      throw new Error("transaction(): a step is still running. Wait for it first.");
    }
    this.#scope.client.checkTransactional();
    if (steps?.hasDoubts) throw this.#inDoubt();
    this.#end.start("transaction");
    let renewedAtMs: number | undefined;
    const transacting = transactUnder(this.#scope, this.#request, this.token, fn, () => {
      // It holds the record's row from now on: no renewal would get through.
      renewedAtMs ??= this.#lease.suspend();
    });
    this.#transacting = transacting;
    const came = await transacting;
    if (came.as === "committed" || came.as === "open") {
      this.#decided = came;
      this.#lease.letGo();
      if (came.as === "committed") return came.value as T;
      throw came.error;
    }
    this.#end.undo();
    if (came.as === "lost") this.#lease.lose("claim-refused");
    // The transaction's own renewal was rolled back as well.
    else if (renewedAtMs !== undefined) this.#lease.goOn(renewedAtMs);
    throw came.error;
  }

  async complete(value: unknown): Promise<Written> {
    while (this.#knownSteps()?.isRunning) await this.#steps?.finished();
    if (!this.#steps?.hasDoubts) return await this.record(value);
    await this.leaveOpen();
    throw this.#inDoubt(value);
  }

  /** Records a result, whatever is known of its steps. */
  async record(value: unknown): Promise<Written> {
    this.#end.start("complete");
    const { body, notKeptBecause } = encodeValue(value, this.#scope.settings.maxResultBytes);
    const written = await this.#end.write({ status: "succeeded", body }, this.#steps, { value });
    if (written.recorded) {
      const why = notKeptBecause === undefined ? {} : { notKeptBecause };
      this.#scope.events.emit("completed", () => ({ ...this.#lease.aboutRun, ...why }));
    }
    return written;
  }

  async fail(error: unknown): Promise<Written> {
    return await this.endBy("record", error);
  }

  async release(): Promise<Written> {
    return await this.endBy("release", undefined);
  }

  async hold(evidence: unknown): Promise<Written> {
    return await this.endBy("hold", evidence);
  }

  async endByPolicy(error: unknown, options?: PolicyEndOptions): Promise<PolicyEnd> {
    return await endFailed(this, error, this.#scope.settings, options);
  }

  /**
   * Ends the claim of a function that threw. Its outcome is left open instead if a step is in doubt, or if
   * the abort may be why it threw: then its effect may have happened, or may happen yet.
   *
   * @param isDecided whether a function has decided about this very error: then the abort does not matter
   * @param outcome is recorded in place of the error
   */
  async endBy(
    policy: ErrorPolicy,
    error: unknown,
    isDecided = false,
    outcome: Omit<PolicyEndOptions, "byDefault" | "policy"> = {},
  ): Promise<Written> {
    while (this.#knownSteps()?.isRunning) await this.#steps?.finished();
    const steps = this.#steps;
    // A held outcome is the operator's: no `reconcile` would be asked about its step any more.
    if (policy === "hold" ? steps?.hasDoubts : steps?.isInDoubt) return await this.leaveOpen();
    if (policy !== "hold" && !isDecided && this.isCutOff) {
      const written = await this.leaveOpen();
      const isLost = this.abortReason?.reason === "claim-refused";
      if (!isLost || policy === "release") return written;
      throw new LeaseLostError({ token: this.token, cause: error });
    }
    switch (policy) {
      case "record":
        if ("value" in outcome) return await this.record(outcome.value);
        return await this.#recordFailure(outcome.failure ?? error);
      case "release":
        return await this.giveBack();
      case "hold":
        return await this.#recordUnknown(error);
    }
  }

  /** Whether the engine's abort may be why the function throws. */
  get isCutOff(): boolean {
    if (this.abortReason === undefined) return false;
    return (
      this.#cutOffBy !== undefined ||
      this.#steps?.isCutOff === true ||
      this.#lease.abort.hasReachedFunction
    );
  }

  /** The signal that its function has read was aborted for another claim of the same function. */
  cutOff(reason: RunAbortedError): void {
    this.#cutOffBy = reason;
  }

  /** Whether its end has decided nothing. */
  get isLeftOpen(): boolean {
    return this.#end.name === "leaveOpen";
  }

  /**
   * Decides nothing. After an abort the lease runs out by itself, as an aborted request may still be on its
   * way; otherwise the claim lapses at once.
   */
  async leaveOpen(): Promise<Written> {
    while (this.#knownSteps()?.isRunning) await this.#steps?.finished();
    const openReason = this.#steps?.hasDoubts === true ? "step-in-doubt" : "lapsed";
    const reason = this.abortReason === undefined ? openReason : "aborted";
    this.#end.start("leaveOpen");
    const isAborted = () => this.abortReason !== undefined;
    const written = await this.#end.leaveOpen(this.#steps, isAborted);
    this.#scope.events.emit("unknown", () => ({ ...this.about, reason }));
    return written;
  }

  /** Gives the key back. A claim that took over lapses at once instead: the work that it took over is still open. */
  async giveBack(): Promise<Written> {
    this.#end.start("release");
    const written = await this.#end.giveBack(this.takenOver, this.#steps);
    if (written.recorded) this.#scope.events.emit("released", () => this.#lease.aboutRun);
    return written;
  }

  async #recordFailure(error: unknown): Promise<Written> {
    this.#end.start("fail");
    const outcome = { status: "failed", body: encodeError(error) } as const;
    const written = await this.#end.write(outcome, this.#steps, { cause: error });
    if (written.recorded) this.#scope.events.emit("failed", () => this.#lease.aboutRun);
    return written;
  }

  async #recordUnknown(evidence: unknown): Promise<Written> {
    this.#end.start("hold");
    const body = encodeEvidence(evidence, this.#scope.settings.maxResultBytes);
    const written = await this.#end.write({ status: "unknown", body }, this.#steps, {
      cause: evidence,
    });
    if (written.recorded) {
      this.#scope.events.emit("unknown", () => ({ ...this.about, reason: "held" }));
    }
    return written;
  }

  /** The steps of this run, or those of an earlier one that this run may not have asked about. */
  #knownSteps(): Steps | undefined {
    if (this.#steps !== undefined || this.#checkpoint === undefined) return this.#steps;
    const isClear = interruptionOf(this.#checkpoint) === "clear";
    return isClear || !isStepLog(this.#checkpoint) ? undefined : this.#madeSteps();
  }

  #openSteps(asked: string): Steps {
    if (!this.#scope.settings.steps) {
      throw new TypeError(
        `${asked}: expected the option \`steps: true\`, of the engine or of this call.`,
      );
    }
    this.#end.checkOpen(asked);
    return this.#madeSteps();
  }

  #madeSteps(): Steps {
    const { token, attempt, takenOver, tookOverAfterMs } = this;
    this.#steps ??= stepsUnder(this.#scope, {
      ...{ claim: this.#claim, checkpoint: this.#checkpoint, token, attempt },
      ...{ takenOver, tookOverAfterMs },
      abortReason: () => this.abortReason,
      checkLease: () => this.#lease.check(),
      onRenewed: (sentAtMs) => this.#lease.confirm(sentAtMs),
      onRefused: () => this.#lease.lose("claim-refused"),
    });
    return this.#steps;
  }

  #inDoubt(value?: unknown): OutcomeUnknownError {
    const { attempt, token } = this;
    return new OutcomeUnknownError({ reason: "step-in-doubt", attempt, token, value });
  }

  /** Ends it without a word to the store: the caller's transaction is rolled back. */
  abandon(): void {
    this.#end.abandon();
  }
}
