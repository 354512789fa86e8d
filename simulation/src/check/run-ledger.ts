import type { CallEvent, Event, RunEvent } from "../history.ts";
import type { Expect } from "./invariants.ts";

type Ran = Extract<Event, { kind: "ran" }>;

/** What a step is refused with because of an abort, or because the claim is lost. */
const ABORTS: ReadonlySet<string> = new Set(["RUN_ABORTED", "LEASE_LOST"]);

/** What the function of a call did and learnt, and what its end therefore decides. */
export class RunLedger {
  readonly call: CallEvent;
  /** When it started. */
  startedAtMs: number | undefined;
  ended: Ran | undefined;
  /** Whether its engine has aborted it, as far as it was seen. */
  isAborted = false;
  /** Whether `onError` is a function and has decided about the error. */
  isDecided = false;
  /** Whether the end came after an abort that the function could notice, or with a step in doubt. */
  isDisturbed = false;
  /** Whether it has begun a transaction, which holds the record instead of a lease. */
  hasTransacted = false;
  /** How the work of its transaction has ended last. */
  worked: Extract<RunEvent, { kind: "worked" }> | undefined;
  /** The body that its transaction has committed. */
  committed: string | undefined;
  committedToken: number | undefined;
  #hasListened = false;
  #hasRefusedStep = false;
  readonly #said = new Set<string>();
  readonly #doubts = new Set<string>();
  /** Steps whose function goes on. */
  readonly #running = new Set<string>();

  constructor(call: CallEvent) {
    this.call = call;
  }

  /** Whether one of its steps may have happened or not. */
  get isInDoubt(): boolean {
    return this.#doubts.size > 0;
  }

  get hasWorked(): boolean {
    return this.worked !== undefined;
  }

  /** Whether an abort was noticed, and neither a value nor a decision has come of it. */
  get isCut(): boolean {
    if (!this.isAborted || this.isDecided) return false;
    return this.ended === undefined || this.isDisturbed;
  }

  /** Steps may go on after their function. */
  get isOver(): boolean {
    return this.ended !== undefined && this.#running.size === 0;
  }

  doubts(step: string): boolean {
    return this.#doubts.has(step);
  }

  hasSaid(text: string): boolean {
    return this.#said.has(text);
  }

  follow(event: RunEvent, expect: Expect): void {
    switch (event.kind) {
      case "listens":
        this.#hasListened = true;
        break;
      case "aborted":
        this.isAborted = true;
        break;
      case "decides":
        this.isDecided = true;
        break;
      case "step":
        this.#step(event, expect);
        break;
      case "found": {
        if (event.said !== undefined) this.#said.add(event.said);
        if (event.step === "") break;
        const isClear = event.finding === "happened" || event.finding === "did-not-happen";
        if (isClear) this.#doubts.delete(event.step);
        else this.#doubts.add(event.step);
        break;
      }
      case "resolved":
        this.#doubts.delete(event.step);
        break;
      case "works":
        this.hasTransacted = true;
        break;
      case "worked":
        this.worked = event;
        this.#said.add(event.said);
        this.isDisturbed = event.hasThrown && this.#hasListened && this.isAborted;
        break;
      default:
        break;
    }
  }

  end(ran: Ran): void {
    this.ended = ran;
    this.#said.add(ran.said);
    const isNoticed = (this.#hasListened && this.isAborted) || this.#hasRefusedStep;
    this.isDisturbed = this.isInDoubt || (ran.end !== "complete" && isNoticed);
  }

  /** Nothing is final but what a function, a handler or an operator has decided. */
  checkFinal(status: string, expect: Expect): void {
    if (this.committed !== undefined || status === "unknown") return;
    expect(this.#running.size === 0, "F1", "an outcome was recorded while a step went on");
    const end = this.ended?.end;
    if (status === "failed") {
      const hasThrown = this.ended === undefined ? this.worked?.hasThrown : end !== "complete";
      expect(hasThrown === true, "F1", "a failure was recorded, and no function has thrown");
      const isDecided = !(this.isDisturbed || this.isInDoubt) || this.isDecided;
      expect(
        isDecided,
        "F1",
        "an error after an abort, or with a step in doubt, is a final failure",
      );
      return;
    }
    const hasReturned = end === "complete" || this.worked?.hasThrown === false;
    expect(hasReturned, "F1", "a result was recorded, and no function has returned it");
    expect(!this.isInDoubt, "F1", "a result was recorded with a step in doubt");
  }

  #step({ step, as, code }: Extract<RunEvent, { kind: "step" }>, expect: Expect): void {
    switch (as) {
      case "begun":
        expect(!this.isAborted, "F4", `step ${step} began after its run was aborted`);
        this.#running.add(step);
        break;
      case "returned":
        this.#running.delete(step);
        break;
      case "threw":
        this.#running.delete(step);
        if (this.isAborted) this.#doubts.add(step);
        break;
      case "refused":
        if (code === "OUTCOME_UNKNOWN") this.#doubts.add(step);
        if (ABORTS.has(code ?? "")) {
          this.#hasRefusedStep = true;
          this.isAborted = true;
        }
        break;
      default:
        break;
    }
  }
}
