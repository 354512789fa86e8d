import type { Applied, History } from "../history.ts";
import type { Calm } from "./calm.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";
import type { RunLedger } from "./run-ledger.ts";

type Claiming = Extract<Applied, { operation: "claim" }>;
type Renewing = Extract<Applied, { operation: "renew" }>;

/** How much the ways of two messages may differ. */
const HOPS_MS = 8;

/** What may become of the lease of a run, on the world's clock. To be asked before it is applied. */
export class Leases {
  readonly #terms: History["terms"];
  readonly #calm: Calm;
  readonly #expect: Expect;

  constructor(terms: History["terms"], calm: Calm, expect: Expect) {
    this.#terms = terms;
    this.#calm = calm;
    this.#expect = expect;
  }

  claim({ given, answer }: Claiming, { holder }: RecordLedger, isDead: boolean): void {
    const isOver =
      answer.outcome === "lapsed" || (answer.outcome === "claimed" && answer.takenOver);
    const run = holder?.run;
    // The owner that asks again is told once more that it took over.
    if (!isOver || holder === undefined || holder.owner === given.owner) return;
    // The lease that a process counts ends no later than the store's: it knows by now.
    const mayNotKnow = isDead || run?.hasTransacted || !this.#terms.areRequestsBounded;
    const isOpen = run !== undefined && run.ended === undefined && !holder.isGivenUp;
    const knows = mayNotKnow || !isOpen || run.isAborted;
    this.#expect(knows, "F6", "the lease of a run was over, and its signal was not aborted");
    if (!this.#calm.isCalm || holder.isGivenUp) return;
    // One that runs too long, or leaves a step in doubt, lets its lease run out.
    if (run?.isInDoubt || run?.call.maxRunMs !== undefined) return;
    this.#expect(holder.runs === 0, "I10", "the lease of a running function ended by itself");
  }

  /** After an abort a lease is neither shortened nor, once the run is too long, prolonged. */
  renew(event: Renewing, { holder }: RecordLedger, atMs: number): void {
    const { given, answer, storeMs, message } = event;
    if (!answer || holder === undefined || holder.token !== given.token) return;
    const { leaseMs } = given;
    const { run } = holder;
    if (leaseMs === undefined || run === undefined) return;
    const byMs = storeMs + leaseMs - holder.leaseEndsAtMs;
    // However late a renewal comes, it is for as long as all of them.
    const isShortened = leaseMs > 0 && byMs < -1 && this.#terms.areClocksTrue;
    this.#expect(!isShortened, "F4", "a lease was shortened");
    if (leaseMs === 0) this.#checkLeftOpen(run);
    if (!this.#calm.isCalmButClosing) return;
    const isRevived = leaseMs > 0 && message > (holder.givenUpBy ?? message);
    this.#expect(!isRevived, "I12", "a claim was renewed after it was given up");
    const limitMs = run.call.maxRunMs ?? Number.POSITIVE_INFINITY;
    const untilMs = (run.startedAtMs ?? atMs) + limitMs + this.#terms.closeBoundMs;
    this.#expect(atMs <= untilMs || byMs < HOPS_MS, "F4", "a run that is too long was prolonged");
  }

  /** What its function has decided is not left open. */
  #checkLeftOpen({ ended, isAborted, isInDoubt }: RunLedger): void {
    if (ended === undefined || ended.end === "release" || !this.#calm.isCalm) return;
    this.#expect(isAborted || isInDoubt, "I9", "an outcome that was decided was left open");
  }
}
