import type { ClaimScope } from "./claim-scope.ts";
import type { Flight } from "./flights.ts";
import { type Heartbeat, NO_HEARTBEAT } from "./heartbeats.ts";
import { type AbortReason, RunAbort } from "./run-abort.ts";
import type { Claim, Claimed } from "./store.ts";

/** The lease of a claim while its function runs: it is renewed until it is lost, runs out or is let go. */
export class Lease {
  readonly abort: RunAbort;
  readonly #scope: ClaimScope;
  readonly #flight: Flight;
  readonly #claim: Claim;
  readonly #attempt: number;
  readonly #startedAtMs: number;
  readonly #withdraw: () => void;
  #heartbeat: Heartbeat;
  #cancelLimit: () => void = () => undefined;
  #isEnding = false;
  #isRunningOut = false;
  #isFree = false;

  /** @param sentAtMs when the claim was sent, on the monotonic clock: its lease counts from there */
  constructor(scope: ClaimScope, flight: Flight, { token, attempt }: Claimed, sentAtMs: number) {
    const { id, owner } = flight.request;
    this.abort = new RunAbort(token);
    this.#scope = scope;
    this.#flight = flight;
    this.#claim = { id, owner, token };
    this.#attempt = attempt;
    this.#startedAtMs = sentAtMs;
    scope.lifetime.enter();
    this.#heartbeat = this.#startHeartbeat(sentAtMs);
    this.#withdraw = scope.lifetime.onEnd(() => this.#runOut("engine-closed"));
  }

  /** How events identify the attempt. */
  get about() {
    const { id, token } = this.#claim;
    return { digest: id.digest, attempt: this.#attempt, token };
  }

  get aboutRun() {
    return { ...this.about, ranMs: this.#scope.runtime.monotonicMs() - this.#startedAtMs };
  }

  /** The store has renewed it by other means, as it was asked to at that time. */
  confirm(sentAtMs: number): void {
    this.#heartbeat.confirm(sentAtMs);
  }

  /** Aborts the run if its lease is over, whether or not a timer has noticed. */
  check(): void {
    this.#heartbeat.check();
  }

  /** Renews it no more. Returns when the last renewal was sent that was confirmed. */
  stop(): number {
    this.#cancelLimit();
    return this.#heartbeat.stop();
  }

  /** As `stop`, while a transaction holds the record: `maxRunMs` goes on counting. */
  suspend(): number {
    const renewedAtMs = this.stop();
    const { runtime, settings } = this.#scope;
    if (settings.maxRunMs !== undefined) {
      const leftMs = this.#startedAtMs + settings.maxRunMs - runtime.monotonicMs();
      const isOver = () => this.#runOut("ran-too-long");
      this.#cancelLimit = runtime.schedule(isOver, Math.max(0, leftMs));
    }
    return renewedAtMs;
  }

  /** Renews it again, as of that time, unless it is to run out. */
  goOn(renewedAtMs: number): void {
    this.#cancelLimit();
    if (!this.#isRunningOut) this.#heartbeat = this.#startHeartbeat(renewedAtMs);
  }

  /** From now on a renewal may be refused because of the claim's own end. */
  startEnding(): void {
    this.#isEnding = true;
  }

  /** That ending did not come about. */
  stopEnding(): void {
    this.#isEnding = false;
  }

  /** The claim is, or may be, no longer this run's. */
  lose(reason: "claim-refused" | "lease-unconfirmed"): void {
    const isRefusedByOwnEnd = reason === "claim-refused" && this.#isEnding && !this.#isFree;
    if (isRefusedByOwnEnd) return;
    this.#abort(reason);
  }

  letGo(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.stop();
    this.#withdraw();
    this.#scope.client.flights.land(this.#flight);
    this.#scope.lifetime.leave();
  }

  /** A claim inside a transaction of the caller is held by that. */
  #startHeartbeat(sentAtMs: number): Heartbeat {
    const { client, events, settings } = this.#scope;
    if (client.isBound) return NO_HEARTBEAT;
    const { leaseMs, storeTimeoutMs, maxRunMs = Number.POSITIVE_INFINITY } = settings;
    const { digest } = this.#claim.id;
    return client.heartbeats.start({
      ...{ claim: this.#claim, leaseMs, storeTimeoutMs, sentAtMs, maxRunMs },
      startedAtMs: this.#startedAtMs,
      onRefused: () => this.lose("claim-refused"),
      onOver: () => this.lose("lease-unconfirmed"),
      onLongRun: () => events.emit("still-running", () => this.aboutRun),
      onRunTooLong: () => this.#runOut("ran-too-long"),
      onError: (error) => events.emit("store-error", () => ({ digest, operation: "renew", error })),
    });
  }

  /** The function runs on, but its lease is no longer renewed. */
  #runOut(reason: "engine-closed" | "ran-too-long"): void {
    this.#isRunningOut = true;
    this.#heartbeat.stop();
    this.#abort(reason);
  }

  #abort(reason: AbortReason): void {
    if (this.abort.abort(reason)) {
      this.#scope.events.emit("aborted", () => ({ ...this.about, reason }));
    }
    // The store knows more than this process does: duplicates here have to ask it.
    this.#scope.client.flights.land(this.#flight);
  }
}
