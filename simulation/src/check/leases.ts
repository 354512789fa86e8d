import type { Applied, History } from "../history.ts";
import type { Calm } from "./calm.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";

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
    if (!this.#calm.isCalmButClosing || leaseMs === undefined || run === undefined) return;
    const isRevived = leaseMs > 0 && message > (holder.givenUpBy ?? message);
    this.#expect(!isRevived, "I12", "a claim was renewed after it was given up");
    const byMs = storeMs + leaseMs - holder.leaseEndsAtMs;
    this.#expect(!run.isCut || byMs > -HOPS_MS, "F4", "a lease was shortened after an abort");
    const limitMs = run.call.maxRunMs ?? Number.POSITIVE_INFINITY;
    const untilMs = (run.startedAtMs ?? atMs) + limitMs + this.#terms.closeBoundMs;
    this.#expect(atMs <= untilMs || byMs < HOPS_MS, "F4", "a run that is too long was prolonged");
  }
}
