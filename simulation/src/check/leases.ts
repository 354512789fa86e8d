import type { Applied, History } from "../history.ts";
import type { Calm } from "./calm.ts";
import type { Grant } from "./grant.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";
import type { RunLedger } from "./run-ledger.ts";

type Claiming = Extract<Applied, { operation: "claim" }>;
type Renewing = Extract<Applied, { operation: "renew" }>;

/** How much the ways of two messages may differ. */
const HOPS_MS = 8;
/** How late a process may notice the end of a lease: clocks and timers have whole milliseconds. */
const LATE_MS = 3;

/** What may become of the lease of a run, on the world's clock. To be asked before it is applied. */
export class Leases {
  readonly #terms: History["terms"];
  readonly #calm: Calm;
  readonly #expect: Expect;
  /** By how much the store's clock is ahead of the world's, where it is true. */
  #storeLeadMs = Number.NEGATIVE_INFINITY;

  constructor(terms: History["terms"], calm: Calm, expect: Expect) {
    this.#terms = terms;
    this.#calm = calm;
    this.#expect = expect;
  }

  claim({ given, answer }: Claiming, { holder }: RecordLedger, isDead: boolean): void {
    const isOver =
      answer.outcome === "lapsed" || (answer.outcome === "claimed" && answer.takenOver);
    const run = holder?.run;
    // An owner that retries gets its take-over confirmed once more.
    if (!isOver || holder === undefined || holder.owner === given.owner) return;
    if (!isDead) this.#checkKnown(holder, run);
    if (!this.#calm.isCalm || holder.isGivenUp) return;
    // One that runs too long, or leaves a step in doubt, lets its lease run out. A transaction that is rolled
    // back takes its own renewal back as well: if it was longer than the lease, that is over at once.
    if (run?.isInDoubt || run?.call.maxRunMs !== undefined || run?.hasTransacted) return;
    this.#expect(holder.runs === 0, "I10", "the lease of a running function ended by itself");
  }

  /** A run goes on, or learns of its abort, at a moment of the world's clock. */
  goesOn({ holder }: RecordLedger, grant: Grant, atMs: number): void {
    const storeMs = this.#storeLeadMs + atMs;
    const isOver = grant.leaseEndsAtMs + LATE_MS < storeMs;
    if (holder === grant && isOver && !grant.isOverruled) this.#checkKnown(grant, grant.run);
  }

  /** The lease that a process counts ends no later than the store's: then its run is aborted. */
  #checkKnown({ isGivenUp }: Grant, run: RunLedger | undefined): void {
    if (!this.#terms.areRequestsBounded || isGivenUp || run === undefined) return;
    const mayNotKnow = run.hasTransacted || run.ended !== undefined || run.isAborted;
    this.#expect(mayNotKnow, "F6", "the lease of a run was over, and its signal was not aborted");
  }

  /** After an abort a lease is neither shortened nor, once the run is too long, prolonged. */
  renew(event: Renewing, { holder }: RecordLedger, atMs: number): void {
    const { given, answer, storeMs, message } = event;
    this.#storeLeadMs = storeMs - atMs;
    if (!answer || holder === undefined || holder.token !== given.token) return;
    const { leaseMs } = given;
    const { run } = holder;
    if (leaseMs === undefined || run === undefined) return;
    const byMs = storeMs + leaseMs - holder.leaseEndsAtMs;
    // However late a renewal comes, it is for as long as all of them.
    const isShortened = leaseMs > 0 && byMs < -1 && this.#terms.areClocksTrue;
    this.#expect(!isShortened, "F4", "a lease was shortened");
    if (leaseMs === 0) this.#checkLeftOpen(run);
    // A claim that is let lapse may have lapsed before.
    const isProlonged = leaseMs > 0 && byMs >= HOPS_MS;
    if (!this.#calm.isCalmButClosing) return;
    const isRevived = leaseMs > 0 && message > (holder.givenUpBy ?? message);
    this.#expect(!isRevived, "I12", "a claim was renewed after it was given up");
    const limitMs = run.call.maxRunMs ?? Number.POSITIVE_INFINITY;
    const untilMs = (run.startedAtMs ?? atMs) + limitMs + this.#terms.closeBoundMs;
    this.#expect(atMs <= untilMs || !isProlonged, "F4", "a run that is too long was prolonged");
  }

  /** What its function has decided is not left open. */
  #checkLeftOpen({ ended, isAborted, isInDoubt }: RunLedger): void {
    if (ended === undefined || ended.end === "release" || !this.#calm.isCalm) return;
    this.#expect(isAborted || isInDoubt, "I9", "an outcome that was decided was left open");
  }
}
