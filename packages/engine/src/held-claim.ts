import { encodeError, encodeEvidence, encodeValue } from "./body.ts";
import type { ClaimHandle, Written } from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { stepsUnder } from "./claim-steps.ts";
import { type Decided, transactUnder } from "./claim-transaction.ts";
import { EngineClosedError, LeaseLostError, StoreError } from "./errors.ts";
import type { Flight } from "./flights.ts";
import { type Heartbeat, NO_HEARTBEAT } from "./heartbeats.ts";
import { type DeriveKeyOptions, derivedKey } from "./identity.ts";
import type { Guarantee } from "./options.ts";
import type { StepOptions, Steps } from "./steps.ts";
import type { Checkpoint, Claim, Claimed, Completion } from "./store.ts";

export class HeldClaim implements ClaimHandle {
  readonly token: number;
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly guarantee: Guarantee;
  readonly createdAt: number;
  readonly #scope: ClaimScope;
  readonly #flight: Flight;
  readonly #claim: Claim;
  readonly #sentAtMs: number;
  readonly #checkpoint: Checkpoint | undefined;
  #heartbeat: Heartbeat;
  readonly #withdraw: () => void;
  #steps: Steps | undefined;
  #transacting: Promise<unknown> | undefined;
  #decided: Decided | undefined;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;
  #ending: string | undefined;
  #storeFailure: unknown;
  #isOutlived = false;
  #isFree = false;

  constructor(scope: ClaimScope, flight: Flight, claimed: Claimed, sentAtMs: number) {
    this.#scope = scope;
    this.#flight = flight;
    this.#sentAtMs = sentAtMs;
    this.token = claimed.token;
    this.attempt = claimed.attempt;
    this.takenOver = claimed.takenOver;
    this.guarantee = scope.settings.guarantee;
    this.createdAt = claimed.createdAt;
    this.#checkpoint = claimed.checkpoint;
    const { id, owner } = flight.request;
    this.#claim = { id, owner, token: claimed.token };
    scope.lifetime.enter();
    this.#heartbeat = this.#beat(sentAtMs);
    this.#withdraw = scope.lifetime.onEnd(() => this.#outlive());
  }

  /** What is claimed in somebody's transaction is held by that. */
  #beat(sentAtMs: number): Heartbeat {
    const { client, events, settings } = this.#scope;
    if (client.isBound) return NO_HEARTBEAT;
    const { leaseMs, storeTimeoutMs } = settings;
    const { digest } = this.#claim.id;
    return client.heartbeats.start({
      claim: this.#claim,
      leaseMs,
      storeTimeoutMs,
      sentAtMs,
      onRefused: () => this.#lose("refused"),
      onOver: () => this.#lose("lease over"),
      onError: (error) => events.emit("store-error", () => ({ digest, operation: "renew", error })),
    });
  }

  /** Made when first asked for: most functions never ask. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Why the store could not run its transaction, or write before its step. */
  get storeFailure(): unknown {
    return this.#storeFailure;
  }

  deriveKey(name: string, options?: DeriveKeyOptions): string {
    return derivedKey(this.#claim.id, name, options);
  }

  async step<T>(name: string, fn: () => T | Promise<T>, options: StepOptions<T> = {}): Promise<T> {
    return await this.#openSteps().run(name, fn, options);
  }

  /** What a transaction decides, whether the function has waited for it or not. That stands. */
  get decision(): Promise<Decided | undefined> | undefined {
    return this.#transacting?.then(() => this.#decided);
  }

  /** See `TransactionalContext.transaction`. */
  async transaction<T>(fn: (tx: unknown) => T | Promise<T>): Promise<T> {
    if (this.#steps?.isRunning) {
      throw new Error("transaction(): a step is still running. Wait for it first.");
    }
    this.#scope.client.checkTransactional();
    this.#startEnding("transaction");
    let renewedAtMs: number | undefined;
    const transacting = transactUnder(this.#scope, this.#flight.request, this.token, fn, () => {
      // It holds the record's row from now on: no renewal would get through.
      renewedAtMs ??= this.#heartbeat.stop();
    });
    this.#transacting = transacting;
    const came = await transacting;
    if (came.as === "committed" || came.as === "open") {
      this.#decided = came;
      this.#letGo();
      if (came.as === "committed") return came.value as T;
      throw came.error;
    }
    this.#ending = undefined;
    if (came.as === "lost") this.#lose("refused");
    else if (renewedAtMs !== undefined && !this.#isOutlived) {
      // What the transaction has renewed was rolled back as well.
      this.#heartbeat = this.#beat(renewedAtMs);
    }
    if (came.error instanceof StoreError) this.#storeFailure = came.error;
    throw came.error;
  }

  async complete(value: unknown): Promise<Written> {
    this.#startEnding("complete");
    const { body, notKeptBecause } = encodeValue(value, this.#scope.settings.maxResultBytes);
    const written = await this.#write({ status: "succeeded", body }, { value });
    if (written.recorded) {
      const why = notKeptBecause === undefined ? {} : { notKeptBecause };
      this.#scope.events.emit("completed", () => ({ ...this.#aboutRun(), ...why }));
    }
    return written;
  }

  async fail(error: unknown): Promise<Written> {
    if (await this.#isInDoubt()) return await this.release();
    this.#startEnding("fail");
    const body = encodeError(error);
    const written = await this.#write({ status: "failed", body }, { cause: error });
    if (written.recorded) {
      this.#scope.events.emit("failed", () => this.#aboutRun());
    }
    return written;
  }

  async hold(evidence: unknown): Promise<Written> {
    if (await this.#isInDoubt()) return await this.release();
    this.#startEnding("hold");
    const body = encodeEvidence(evidence, this.#scope.settings.maxResultBytes);
    const written = await this.#write({ status: "unknown", body }, { cause: evidence });
    if (written.recorded) {
      this.#scope.events.emit("unknown", () => ({ ...this.about(), reason: "held" }));
    }
    return written;
  }

  /** @param isToLapse whether what it has done is as open as if its process had died */
  async release(isToLapse = this.takenOver): Promise<Written> {
    this.#startEnding("release");
    const answer = await this.#end("release", this.#giveBack(isToLapse));
    if (answer === "true") {
      this.#scope.events.emit("released", () => this.#aboutRun());
    }
    const failure = typeof answer === "string" ? {} : answer;
    return { recorded: answer === "true", ...failure };
  }

  /** The next caller must know which steps failed: where that cannot be told, the claim lapses. */
  async #giveBack(isToLapse: boolean): Promise<boolean> {
    const wrong = await this.#steps?.saved();
    if (wrong instanceof LeaseLostError) return false;
    if (wrong !== undefined) throw wrong;
    // What is to lapse must not be renewed behind that.
    if (isToLapse) this.#heartbeat.stop();
    const { client, settings } = this.#scope;
    return await client.release(this.#claim, isToLapse, settings.storeTimeoutMs);
  }

  /** Another step may still be finding out. */
  async #isInDoubt(): Promise<boolean> {
    await this.#steps?.finished();
    return this.#steps?.isInDoubt ?? false;
  }

  #openSteps(): Steps {
    if (this.#ending !== undefined) {
      throw new Error(`step(): this claim was ended by ${this.#ending}() already.`);
    }
    const { token, attempt, takenOver } = this;
    this.#steps ??= stepsUnder(this.#scope, {
      ...{ claim: this.#claim, checkpoint: this.#checkpoint, token, attempt, takenOver },
      onRenewed: (sentAtMs) => this.#heartbeat.confirm(sentAtMs),
      onRefused: () => this.#lose("refused"),
      onFailed: (error) => {
        this.#storeFailure = error;
      },
    });
    return this.#steps;
  }

  async #write(
    { status, body }: Pick<Completion, "status" | "body">,
    late: { readonly value?: unknown; readonly cause?: unknown },
  ): Promise<Written> {
    const { client, settings, events } = this.#scope;
    const { replayMs: retentionMs, storeTimeoutMs } = settings;
    const { id, owner, token } = this.#claim;
    const completion = { id, owner, token, status, body, retentionMs };
    const complete = () => client.complete(completion, storeTimeoutMs);
    // Whoever looks at what failed has to see which steps did.
    const asked = this.#steps === undefined ? complete() : this.#steps.saved().then(complete);
    const answer = await this.#end("complete", asked);
    if (answer === "false") throw new LeaseLostError({ token: this.token, ...late });
    if (answer === "true") return { recorded: true };
    // Nothing of somebody's transaction will stand after that.
    if (client.isBound) throw answer.error;
    events.emit("completion-lost", () => ({ ...this.about(), error: answer.error }));
    return { recorded: false, error: answer.error };
  }

  /** Waits for the store's word on the end, renewing until it comes, and stops all that runs. */
  async #end(
    operation: "complete" | "release",
    asked: Promise<boolean>,
  ): Promise<"true" | "false" | { readonly error: unknown }> {
    try {
      if (await asked) return "true";
    } catch (error) {
      const { digest } = this.about();
      this.#scope.events.emit("store-error", () => ({ digest, operation, error }));
      return { error };
    } finally {
      this.#letGo();
    }
    this.#lose("refused");
    return "false";
  }

  /** Lets go of it without a word to the store: its transaction is rolled back by somebody else. */
  abandon(): void {
    this.#startEnding("abandon");
    this.#letGo();
  }

  #startEnding(ending: string): void {
    if (this.#ending !== undefined) {
      throw new Error(`${ending}(): this claim was ended by ${this.#ending}() already.`);
    }
    this.#ending = ending;
  }

  #lose(reason: "refused" | "lease over"): void {
    // While the end is being written, a renewal is refused because of that very end.
    const isRefusedByOwnEnd = reason === "refused" && this.#ending !== undefined && !this.#isFree;
    if (isRefusedByOwnEnd) return;
    if (this.#abortReason === undefined) {
      this.#abort(new LeaseLostError({ token: this.token }));
      this.#scope.events.emit("lease-lost", () => ({ ...this.about(), reason }));
    }
    // The store knows more than this process does: duplicates here have to ask it.
    this.#scope.client.flights.land(this.#flight);
  }

  #letGo(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.#heartbeat.stop();
    this.#withdraw();
    this.#scope.client.flights.land(this.#flight);
    this.#scope.lifetime.leave();
  }

  /** The engine was closed and its grace is over: the function runs on, but nobody renews. */
  #outlive(): void {
    this.#isOutlived = true;
    this.#abort(new EngineClosedError());
    this.#heartbeat.stop();
    this.#scope.client.flights.land(this.#flight);
  }

  #abort(reason: Error): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  #aboutRun() {
    return { ...this.about(), ranMs: this.#scope.runtime.monotonicMs() - this.#sentAtMs };
  }

  /** What events tell of it. */
  about() {
    const { digest } = this.#flight.request.id;
    return { digest, attempt: this.attempt, token: this.token };
  }
}
