import { encodeError, encodeEvidence, encodeValue } from "./body.ts";
import { EngineClosedError, LeaseLostError } from "./errors.ts";
import type { Events } from "./events.ts";
import type { Flight } from "./flights.ts";
import type { Lifetime } from "./lifetime.ts";
import type { Settings } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import type { Claim, Claimed, Completion } from "./store.ts";
import type { StoreClient } from "./store-client.ts";

/** What came of writing an outcome. */
export interface Written {
  /**
   * Whether the outcome is known to be in the store. If not, the value is real all the same, and
   * duplicates are treated as if this process had died.
   */
  readonly recorded: boolean;
}

/** What a function under a claim may know of it. */
export interface Context {
  /** The fencing number: hand it to systems that refuse what is older than they have seen. */
  readonly token: number;
  /** Which try this is, counted from 1. */
  readonly attempt: number;
  /** Aborted when the claim is lost, or its lease is over without a confirmed renewal. */
  readonly signal: AbortSignal;
}

/**
 * A claim that was granted by `begin`. Exactly one of its four endings has to be called, once;
 * until then it is renewed. All but `release` throw LeaseLostError where the claim was lost.
 */
export interface ClaimHandle extends Context {
  /** Whether somebody else's lapsed claim was taken over: its effects may have happened in part. */
  readonly takenOver: boolean;
  /** Epoch milliseconds on the store's clock. */
  readonly createdAt: number;
  /** Records the result. Duplicates get it again. */
  complete(value: unknown): Promise<Written>;
  /** Records the failure. Duplicates get ReplayedError with it as the cause. */
  fail(error: unknown): Promise<Written>;
  /**
   * Gives the key back: the next caller runs. Only right where nothing happened. A claim that took
   * over lapses at once instead: what it took over is as open as it was, so that only those run who
   * may take over as well. Does not throw where the claim was lost meanwhile: then there is nothing
   * to give back (`recorded: false`).
   */
  release(): Promise<Written>;
  /** Records the outcome as unknown, with what is known of it, for an operator to settle. */
  hold(evidence: unknown): Promise<Written>;
}

/** What a claim works with, handed down from its engine. */
export interface ClaimScope {
  readonly client: StoreClient;
  readonly runtime: Runtime;
  readonly events: Events;
  readonly lifetime: Lifetime;
  readonly settings: Settings;
}

export class HeldClaim implements ClaimHandle {
  readonly token: number;
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly createdAt: number;
  readonly #scope: ClaimScope;
  readonly #flight: Flight;
  readonly #claim: Claim;
  readonly #sentAtMs: number;
  readonly #stopBeating: () => void;
  readonly #withdraw: () => void;
  #controller: AbortController | undefined;
  #abortReason: Error | undefined;
  #ending: string | undefined;
  #isFree = false;

  constructor(scope: ClaimScope, flight: Flight, claimed: Claimed, sentAtMs: number) {
    this.#scope = scope;
    this.#flight = flight;
    this.#sentAtMs = sentAtMs;
    this.token = claimed.token;
    this.attempt = claimed.attempt;
    this.takenOver = claimed.takenOver;
    this.createdAt = claimed.createdAt;
    const { client, events, lifetime, settings } = scope;
    const { id, owner } = flight.request;
    this.#claim = { id, owner, token: claimed.token };
    const { digest } = id;
    lifetime.enter();
    this.#stopBeating = client.heartbeats.start({
      claim: this.#claim,
      leaseMs: settings.leaseMs,
      storeTimeoutMs: settings.storeTimeoutMs,
      sentAtMs,
      onRefused: () => this.#lose("refused"),
      onOver: () => this.#lose("lease over"),
      onError: (error) => events.emit("store-error", () => ({ digest, operation: "renew", error })),
    });
    this.#withdraw = lifetime.onEnd(() => this.#outlive());
  }

  /** Made when first asked for: most functions never ask. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  async complete(value: unknown): Promise<Written> {
    this.#startEnding("complete");
    const { body, notKeptBecause } = encodeValue(value, this.#scope.settings.maxResultBytes);
    const written = await this.#write({ status: "succeeded", body }, { value });
    if (written.recorded) {
      this.#scope.events.emit("completed", () => ({
        ...this.#about(),
        ranMs: this.#ranMs(),
        ...(notKeptBecause !== undefined && { notKeptBecause }),
      }));
    }
    return written;
  }

  async fail(error: unknown): Promise<Written> {
    this.#startEnding("fail");
    const written = await this.#write(
      { status: "failed", body: encodeError(error) },
      { cause: error },
    );
    if (written.recorded) {
      this.#scope.events.emit("failed", () => ({ ...this.#about(), ranMs: this.#ranMs() }));
    }
    return written;
  }

  async hold(evidence: unknown): Promise<Written> {
    this.#startEnding("hold");
    const body = encodeEvidence(evidence, this.#scope.settings.maxResultBytes);
    const written = await this.#write({ status: "unknown", body }, { cause: evidence });
    if (written.recorded) {
      this.#scope.events.emit("unknown", () => ({ ...this.#about(), reason: "held" }));
    }
    return written;
  }

  async release(): Promise<Written> {
    this.#startEnding("release");
    const { client, settings, events } = this.#scope;
    // What is to lapse must not be renewed behind that.
    if (this.takenOver) this.#stopBeating();
    const asked = client.release(this.#claim, this.takenOver, settings.storeTimeoutMs);
    const answer = await this.#end("release", asked);
    if (answer === "true") {
      events.emit("released", () => ({ ...this.#about(), ranMs: this.#ranMs() }));
    }
    return { recorded: answer === "true" };
  }

  async #write(
    { status, body }: Pick<Completion, "status" | "body">,
    late: { readonly value?: unknown; readonly cause?: unknown },
  ): Promise<Written> {
    const { client, settings, events } = this.#scope;
    const { replayMs: retentionMs, storeTimeoutMs } = settings;
    const completion = { ...this.#claim, status, body, retentionMs };
    const answer = await this.#end("complete", client.complete(completion, storeTimeoutMs));
    if (answer === "false") throw new LeaseLostError({ token: this.token, ...late });
    if (answer === "true") return { recorded: true };
    events.emit("completion-lost", () => ({ ...this.#about(), error: answer.error }));
    return { recorded: false };
  }

  /** Waits for the store's word on the end, renewing until it comes, and stops all that runs. */
  async #end(
    operation: "complete" | "release",
    asked: Promise<boolean>,
  ): Promise<"true" | "false" | { readonly error: unknown }> {
    try {
      if (await asked) return "true";
    } catch (error) {
      const { digest } = this.#about();
      this.#scope.events.emit("store-error", () => ({ digest, operation, error }));
      return { error };
    } finally {
      this.#letGo();
    }
    this.#lose("refused");
    return "false";
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
      this.#scope.events.emit("lease-lost", () => ({ ...this.#about(), reason }));
    }
    // The store knows more than this process does: duplicates here have to ask it.
    this.#scope.client.flights.land(this.#flight);
  }

  #letGo(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.#stopBeating();
    this.#withdraw();
    this.#scope.client.flights.land(this.#flight);
    this.#scope.lifetime.leave();
  }

  /** The engine was closed and its grace is over: the function runs on, but nobody renews. */
  #outlive(): void {
    this.#abort(new EngineClosedError());
    this.#stopBeating();
    this.#scope.client.flights.land(this.#flight);
  }

  #abort(reason: Error): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  #ranMs(): number {
    return this.#scope.runtime.monotonicMs() - this.#sentAtMs;
  }

  #about() {
    const { digest } = this.#flight.request.id;
    return { digest, attempt: this.attempt, token: this.token };
  }
}
