import type { Claim } from "@idemkit/engine";
import type { Applied } from "../history.ts";
import { Effects } from "./effects.ts";
import { checkFinal, checkGivenUp } from "./finality.ts";
import { type Grant, grantOf, type Outcome } from "./grant.ts";
import type { Expect } from "./invariants.ts";

type State = "absent" | "claimed" | "unknown" | "completed" | "released";

/** The share of its retention for which an outcome is there, at the least. */
const RETENTION_SHARE = 0.9;

/**
 * One record as it must be, from what the store was asked and what it answered. It knows nothing of
 * how a store works inside: the rules stand here a second time on purpose.
 */
export class RecordLedger {
  state: State = "absent";
  holder: Grant | undefined;
  outcome: Outcome | undefined;
  /** All grants of all its lives, by token. */
  readonly grants = new Map<number, Grant>();
  /** All outcomes that ever were recorded. */
  readonly outcomes: Outcome[] = [];
  /** Runs whose effects nobody has decided about. */
  openRuns = 0;
  /** How often an operator dropped it or gave it back. */
  dropped = 0;
  /** Whether lapsed work was taken over in this life. */
  wasTakenOver = false;
  /** What operators were asked to decide while a lease may run. */
  readonly overruling = new Set<string>();
  /** Which of its lives this is. */
  life = 0;
  readonly effects = new Effects();
  /** The lives in which a transaction has committed rows. */
  readonly committed = new Set<number>();
  #tokenMax = 0;
  #checkpointMax = -1;
  readonly #completedBy = new Set<string>();

  /** @param atMs when it is noted, on the world's clock */
  apply(applied: Applied, atMs: number, expect: Expect): void {
    switch (applied.operation) {
      case "claim":
        this.#claim(applied, atMs, expect);
        break;
      case "renew":
        this.#renew(applied, expect);
        break;
      case "complete":
        this.#complete(applied, expect);
        break;
      case "release":
        this.#release(applied, expect);
        break;
      case "remove":
        if (!applied.answer) break;
        if (this.holder !== undefined) this.holder.isRemoved = true;
        this.dropped += 1;
        // What an operator dropped is known as ended only until somebody else has had it.
        this.#completedBy.clear();
        this.#endLife("released");
        break;
    }
  }

  purge(storeMs: number, expect: Expect): void {
    expect(this.#isDue(storeMs), "I15", `a record that is ${this.state} was purged`);
    this.#endLife("absent");
  }

  #claim(applied: Extract<Applied, { operation: "claim" }>, atMs: number, expect: Expect): void {
    const { given, answer, storeMs } = applied;
    const isHolder = this.holder?.owner === given.owner && this.#isOpen;
    switch (answer.outcome) {
      case "claimed":
        if (this.state === "claimed" && isHolder) this.#claimAgain(applied, answer.token, expect);
        else this.#grant(applied, atMs, expect);
        this.#checkCheckpoint(answer.checkpoint?.revision, expect);
        break;
      case "in-progress":
        expect(!isHolder, "I9", "an owner was told that its own claim is in progress");
        expect(
          answer.leaseRemainingMs > 0
            ? this.state === "claimed" && !this.#isLapsed(storeMs)
            : this.state === "released",
          "I9",
          `a claim was refused as in progress, but the record is ${this.state}`,
        );
        expect(
          answer.leaseRemainingMs === Math.max(0, this.#leaseEndsAtMs - storeMs),
          "I9",
          "a claim was refused for another time than the lease runs",
        );
        break;
      case "lapsed":
        expect(!isHolder, "I9", "an owner was told that its own claim lapsed");
        expect(
          this.state === "claimed" && this.#isLapsed(storeMs),
          "I10",
          `a claim was called lapsed, but the record is ${this.state} and its lease runs`,
        );
        this.#checkCheckpoint(answer.checkpoint?.revision, expect);
        break;
      case "completed":
        expect(
          answer.status === this.outcome?.status && answer.body === this.outcome.body,
          "I3",
          "the store answered another outcome than the one that was recorded",
        );
        break;
    }
  }

  #claimAgain(
    { given, storeMs }: Extract<Applied, { operation: "claim" }>,
    token: number,
    expect: Expect,
  ): void {
    if (this.holder === undefined) return;
    expect(token === this.holder.token, "I6", "the same claim was given another token");
    if (given.leaseMs !== undefined) this.holder.leaseEndsAtMs = storeMs + given.leaseMs;
  }

  #grant(applied: Extract<Applied, { operation: "claim" }>, atMs: number, expect: Expect): void {
    const { given, answer, storeMs, process } = applied;
    if (answer.outcome !== "claimed") return;
    const isOwnRelease = this.state === "released" && this.holder?.owner === given.owner;
    const hasEnded = this.#completedBy.has(given.owner) || isOwnRelease;
    expect(!hasEnded, "I12", "a claim was granted again after its own end");
    if (this.state === "completed" || this.state === "released") {
      const isFree = this.state === "released" || this.#isDue(storeMs);
      expect(isFree, "I4", "a claim was granted on a record that has its outcome");
      // A release that an operator has written down lives for longer than the claim had asked for.
      if (this.#isDue(storeMs) && answer.attempt === 1) this.#endLife("absent");
    }
    expect(this.state !== "unknown", "I10", "a claim was granted on an unknown outcome");
    const previous = this.state === "claimed" ? this.holder : undefined;
    const before = this.state === "absent" ? undefined : this.holder;
    if (previous !== undefined) {
      expect(this.#isLapsed(storeMs), "I10", "a claim was taken over while its lease ran");
      expect(given.takeOver, "I10", "a claim was taken over by one who may not");
      const isAlike = given.fingerprint === previous.fingerprint;
      expect(isAlike, "I13", "a claim was taken over with another content");
      const isTold = answer.takenOver && answer.attempt === previous.attempt + 1;
      expect(isTold, "I10", "a take-over was not reported as one");
      previous.isOverruled = true;
      this.wasTakenOver = true;
    }
    expect(answer.token > this.#tokenMax, "I6", "a token is not greater than those before it");
    this.#tokenMax = Math.max(this.#tokenMax, answer.token);
    const lapsedForMs = before && storeMs - before.leaseEndsAtMs;
    const about = { life: this.life, lapsedForMs, notedAtMs: atMs };
    const grant = grantOf({ given, answer, storeMs, process }, about);
    this.state = "claimed";
    this.holder = grant;
    this.outcome = undefined;
    this.grants.set(answer.token, grant);
  }

  #renew(
    { given, answer, storeMs, message }: Extract<Applied, { operation: "renew" }>,
    expect: Expect,
  ): void {
    const isHeld = this.state === "claimed" && this.#isOf(given);
    expect(answer || !isHeld, "I9", "the holder of a claim could not renew it");
    expect(!answer || isHeld, "I5", `a renewal passed, but the record is ${this.#whose(given)}`);
    if (!answer || this.holder === undefined) return;
    if (given.leaseMs === 0) checkGivenUp(this.holder, "F4", expect);
    if (given.leaseMs !== undefined) this.holder.leaseEndsAtMs = storeMs + given.leaseMs;
    if (given.leaseMs === 0) {
      this.holder.isGivenUp = true;
      this.holder.givenUpBy = message;
    }
    this.#checkpointMax = Math.max(this.#checkpointMax, given.checkpoint?.revision ?? -1);
  }

  #complete(
    { given, answer, storeMs }: Extract<Applied, { operation: "complete" }>,
    expect: Expect,
  ): void {
    const { holder } = this;
    const isHolder = this.#isOf(given);
    const isHeld = isHolder && this.#isOpen;
    const isStored =
      isHolder && this.outcome?.status === given.status && this.outcome.body === given.body;
    // Only operators leave notes. While a lease runs they decide nothing, unless they overrule it.
    const isRunning = this.state === "claimed" && !this.#isLapsed(storeMs);
    const mayOverrule = !given.ifLapsed && this.overruling.has(given.status);
    const isBarred = given.note !== undefined && isRunning && !mayOverrule;
    expect(answer || !isHeld || isBarred, "I9", "the holder of a claim could not complete it");
    expect(!answer || !isBarred, "I10", "an operator overruled a lease that runs");
    expect(
      answer || !isStored || this.#isDue(storeMs),
      "I9",
      "an owner was refused because of its own completion",
    );
    if (!answer) return;
    expect(isHolder, "I5", `a completion passed, but the record is ${this.#whose(given)}`);
    expect(isHeld || isStored || !isHolder, "I3", "a second outcome was recorded, or called so");
    if (!isHeld || holder === undefined) return;
    checkFinal(holder, given, expect);
    if (given.note !== undefined) {
      // An operator who gives work back writes the reason first, while the outcome is unknown.
      holder.isOverruled = true;
      holder.isReleaseDecided = given.status === "unknown";
      if (holder.isReleaseDecided) this.dropped += 1;
    }
    this.outcome = {
      grant: holder,
      status: given.status,
      body: given.body,
      isSettled: given.note !== undefined,
      dueAtMs:
        given.retentionMs === undefined
          ? holder.grantedAtMs + holder.retentionMs
          : storeMs + given.retentionMs * RETENTION_SHARE,
    };
    this.outcomes.push(this.outcome);
    this.state = given.status === "unknown" ? "unknown" : "completed";
    if (this.state === "completed") this.#completedBy.add(given.owner);
  }

  #release(
    { given, answer, storeMs }: Extract<Applied, { operation: "release" }>,
    expect: Expect,
  ): void {
    const isHolder = this.#isOf(given);
    const isHeld = isHolder && this.#isOpen;
    const isReleased = isHolder && this.state === "released";
    expect(answer || !isHeld, "I9", "the holder of a claim could not release it");
    if (!answer) return;
    expect(isHeld || isReleased, "I5", `a release passed, but the record is ${this.#whose(given)}`);
    if (!isHeld) return;
    const { isReleaseDecided = false, isOverruled = false, runs = 0 } = this.holder ?? {};
    if (this.holder !== undefined && !isOverruled) {
      checkGivenUp(this.holder, this.holder.run?.call.isAtMostOnce ? "F2" : "F4", expect);
    }
    // An operator says that it never happened as a whole. Steps in doubt stay so.
    if (isOverruled) this.effects.allow(this.life, "");
    // Its caller decides about its own run. Only an operator decides about those before it.
    const decided = isOverruled ? this.openRuns : isReleaseDecided ? runs : 0;
    const isOpen = this.openRuns > decided;
    expect(!isOpen, "I2", "work that may have run was given back undecided");
    if (this.holder !== undefined) {
      this.holder.isGivenUp = true;
      this.holder.leaseEndsAtMs = Math.min(this.holder.leaseEndsAtMs, storeMs);
    }
    this.state = "released";
    this.outcome = undefined;
    this.openRuns = 0;
    this.wasTakenOver = false;
  }

  /** No outcome yet, or one that its owner may still decide. */
  get #isOpen(): boolean {
    return this.state === "claimed" || this.state === "unknown";
  }

  get #leaseEndsAtMs(): number {
    return this.state === "claimed" ? (this.holder?.leaseEndsAtMs ?? 0) : 0;
  }

  #isLapsed(storeMs: number): boolean {
    return this.#leaseEndsAtMs <= storeMs;
  }

  #isDue(storeMs: number): boolean {
    if (this.state === "absent") return true;
    if (this.state === "completed") return (this.outcome?.dueAtMs ?? 0) <= storeMs;
    if (this.state !== "released") return false;
    const { grantedAtMs = 0, retentionMs = 0 } = this.holder ?? {};
    return grantedAtMs + retentionMs <= storeMs;
  }

  #endLife(state: "absent" | "released"): void {
    if (this.holder !== undefined) this.holder.isOverruled = true;
    this.life += 1;
    this.state = state;
    this.outcome = undefined;
    this.openRuns = 0;
    this.wasTakenOver = false;
    this.#checkpointMax = -1;
  }

  #checkCheckpoint(revision: number | undefined, expect: Expect): void {
    expect((revision ?? -1) >= this.#checkpointMax, "C1", "an older checkpoint came back");
  }

  #isOf({ owner, token }: Pick<Claim, "owner" | "token">): boolean {
    return this.holder?.owner === owner && this.holder.token === token;
  }

  #whose(claim: Pick<Claim, "owner" | "token">): string {
    return this.#isOf(claim) ? this.state : "somebody else's";
  }
}
