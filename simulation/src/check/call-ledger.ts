import type { CallEvent, Event, RunEvent, Told } from "../history.ts";
import { checkCanaries } from "./canaries.ts";
import type { Grant, Outcome } from "./grant.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";
import { RunLedger } from "./run-ledger.ts";

/** One call as its caller saw it, held against what the store did. */
export class CallLedger {
  readonly call: CallEvent;
  /** Its function's run, or the work of its transaction. */
  readonly function: RunLedger;
  readonly #record: RecordLedger;
  readonly #droppedBefore: number;
  readonly #areClocksTrue: boolean;
  #grant: Grant | undefined;
  /** Where in the history it ended. */
  toldAt: number | undefined;
  /** Whether, since it began, the store has told somebody that the outcome is open. */
  hasSeenDoubt = false;
  /** Whether, since it began, the store has told somebody that the record is held. */
  hasSeenHolder = false;
  /** Whether, since it began, a transaction has held the record, of which nothing more is seen. */
  hasMetLock = false;
  /** Whether another call of its process was under way for the record. */
  hasCompany = false;
  /** Whether another content was ever sent for this record. */
  isContested = false;

  constructor(call: CallEvent, record: RecordLedger, areClocksTrue: boolean) {
    this.call = call;
    this.function = new RunLedger(call);
    this.#record = record;
    this.#droppedBefore = record.dropped;
    this.#areClocksTrue = areClocksTrue;
  }

  get isTold(): boolean {
    return this.toldAt !== undefined;
  }

  /** Whether an operator dropped its record meanwhile, so that it went on under another owner. */
  get isDropped(): boolean {
    return this.#record.dropped > this.#droppedBefore;
  }

  /** Whether somebody else has acted on its claim. */
  get isOverruled(): boolean {
    return this.#grant?.isOverruled === true || this.#grant?.isRemoved === true;
  }

  /** The claim under which its function runs. */
  get grant(): Grant | undefined {
    return this.#grant;
  }

  /** Whether any function ever ran for its record. */
  get hasRuns(): boolean {
    return [...this.#record.grants.values()].some(({ run }) => run !== undefined);
  }

  run({ token, attempt }: Extract<Event, { kind: "run" }>, expect: Expect): void {
    const record = this.#record;
    const grant = record.grants.get(token);
    expect(!this.isTold, "I13", "a function ran after its call had ended");
    expect(this.#grant === undefined, "I11", "a call ran its function twice");
    const isMine = grant !== undefined && grant.process === this.call.process;
    expect(isMine, "I2", "a function ran without a claim that was granted to its process");
    if (grant === undefined) return;
    grant.runs += 1;
    expect(!grant.isAborted, "F4", "a function started after its claim was aborted");
    expect(grant.runs === 1, "I11", "two functions ran under one claim");
    expect(attempt === grant.attempt, "I10", "a function was told another attempt than it is");
    this.#checkFingerprint(grant, expect);
    this.#grant = grant;
    grant.run = this.function;
    const { hasSteps = false, takesOver } = this.call;
    if (!hasSteps) record.effects.begin(grant.life, "", token, takesOver);
    // Whoever drops a record decides that whatever runs or is about to run under it counts as over.
    if (grant.isRemoved) return;
    const isHeld = record.holder?.token === token;
    expect(isHeld || !this.#areClocksTrue, "I2", "a function ran under a claim that was lost");
    const isMixed = record.wasTakenOver || !isHeld;
    const isPromised = !this.call.takesOver && (this.#areClocksTrue || !isMixed);
    const isAlone = record.openRuns === 0;
    expect(isAlone || !isPromised, "I2", "at-most-once ran although an earlier run is undecided");
    // What has effects in steps only is held against its steps.
    if (!hasSteps) record.openRuns += 1;
  }

  ran(event: Extract<Event, { kind: "ran" }>): void {
    this.function.end(event);
    if (event.end !== "complete" && !this.function.isDisturbed) this.#decide(event.end);
  }

  /** Its function, or the policy for an error that no abort has disturbed, decides about its effect. */
  #decide(end: "fail" | "release" | "hold"): void {
    const grant = this.#grant;
    if (grant === undefined) return;
    grant.isReleaseDecided = end === "release";
    this.#record.effects.allow(grant.life, "");
  }

  follow(event: RunEvent, expect: Expect): void {
    const run = this.function;
    run.follow(event, expect);
    const grant = this.#grant;
    const end = run.ended?.end ?? "complete";
    if (event.kind === "decides" && end !== "complete") this.#decide(end);
    if (grant === undefined || event.kind !== "step") return;
    const { effects } = this.#record;
    if (event.as === "begun") {
      effects.begin(grant.life, event.step, grant.token, this.call.takesOver);
    }
    const hasFailed = event.as === "threw" && !run.isAborted;
    // A step that throws undisturbed has not happened, as its function says.
    if (hasFailed) effects.allow(grant.life, event.step);
    if (hasFailed || event.as === "returned") effects.end(grant.life, event.step, grant.token);
  }

  tell(told: Told, at: number, expect: Expect): void {
    expect(!this.isTold, "I14", "a call ended twice");
    this.toldAt = at;
    checkCanaries(this.call, told, expect);
    const hasRun = this.#grant !== undefined;
    switch (told.as) {
      case "executed": {
        const { committed, ended, hasWorked } = this.function;
        expect(hasRun || hasWorked, "I13", "a call reported a run that never was");
        const made = committed ?? ended?.said;
        expect(told.value === made, "I7", "a caller got another value than it made");
        if (told.recorded) this.#checkRecorded("succeeded", told.value, expect);
        break;
      }
      case "replayed": {
        expect(!hasRun, "I13", "a call that replays ran its function");
        const isKnown = this.#outcomes("succeeded", told.token).some(
          ({ body }) => body === `json:${told.value}`,
        );
        expect(isKnown, "I7", "what was replayed was never recorded");
        this.#checkContent(told.value, expect);
        break;
      }
      case "released":
        this.#checkReleased(told.recorded, expect);
        break;
      case "failed":
        if (told.recorded) this.#checkRecorded("failed", undefined, expect);
        break;
      case "held":
        if (told.recorded) this.#checkRecorded("unknown", undefined, expect);
        break;
      case "done":
        this.#checkDone(told.answer, expect);
        break;
      case "threw":
        expect(
          this.function.hasSaid(told.message),
          "I7",
          "a caller got another error than it threw",
        );
        break;
      case "error":
        this.#refused(told, expect);
        break;
      case "fault":
        expect(false, "I14", `a call ended with what no caller can expect: ${told.what}`);
        break;
      case "aborted":
        expect(this.call.mayLeave === true, "I14", "a call was ended for a caller who stayed");
        break;
    }
  }

  #refused(told: Extract<Told, { as: "error" }>, expect: Expect): void {
    const hasRun = this.#grant !== undefined;
    if (told.code === "LEASE_LOST") {
      expect(hasRun, "I13", "a call lost a claim that it never had");
      const isOverruled = this.#grant?.isOverruled ?? false;
      expect(isOverruled, "I9", "a call was told that it lost a claim that nobody touched");
      return;
    }
    // Its own function may have left the outcome open: in a step, or in a transaction.
    const { isInDoubt, hasWorked } = this.function;
    // One of an earlier run may be in doubt that this run has not got to.
    const isOfEarlier = told.reason === "step-in-doubt" && this.call.hasSteps === true;
    const isOwnDoubt = told.code === "OUTCOME_UNKNOWN" && (isInDoubt || isOfEarlier);
    if (hasRun && (isOwnDoubt || (told.code === "STORE_FAILED" && hasWorked))) return;
    expect(!hasRun, "I13", `a call that ended with ${told.code} ran its function`);
    switch (told.code) {
      case "REPLAYED_FAILURE": {
        const isKnown = this.#outcomes("failed", told.token).some(
          ({ body }) => messageIn(body) === told.cause,
        );
        expect(isKnown, "I7", "the failure that was replayed was never recorded");
        this.#checkContent(told.cause ?? "", expect);
        break;
      }
      case "RESULT_UNAVAILABLE": {
        const known = this.#outcomes("succeeded", told.token);
        const isKnown = known.some(({ body }) => body.startsWith("none:"));
        expect(isKnown, "I7", "a result was called unavailable, but it was recorded");
        this.#checkOwnContent(told.token, expect);
        break;
      }
      case "PAYLOAD_CONFLICT":
        expect(this.isContested, "I9", "a conflict was reported where contents never differed");
        break;
      case "OUTCOME_UNKNOWN":
        expect(this.hasSeenDoubt, "I7", "an outcome was called unknown that nobody doubted");
        this.#checkOwnContent(told.token, expect);
        break;
      case "IN_PROGRESS": {
        // One that has lapsed is to settle before it may be taken over.
        const isOpen = this.hasSeenHolder || this.hasSeenDoubt;
        const isHeld = isOpen || this.hasMetLock || this.hasCompany;
        expect(isHeld, "I9", "a call was refused because of a holder that nobody met");
        if (!this.hasMetLock) this.#checkOwnContent(undefined, expect);
        break;
      }
      default:
        break;
    }
  }

  /** An operator who is told that a decision stands finds it in the record. */
  #checkDone(answer: unknown, expect: Expect): void {
    const { outcomes, grants } = this.#record;
    const decided = /^settle as (.*)$/.exec(this.call.how)?.[1];
    if (decided === "released") {
      const isFree = [...grants.values()].some(
        (each) => each.isRemoved || (each.isGivenUp && each.isOverruled),
      );
      expect(isFree, "I7", "an operator was told that a key is free, and it is not");
    } else if (decided !== undefined) {
      const isThere = outcomes.some((each) => each.isSettled && each.status === decided);
      expect(isThere, "I7", "an operator was told that a decision stands, and it does not");
    } else if (this.call.how === "remove" && answer === true) {
      const isGone = [...grants.values()].some(({ isRemoved }) => isRemoved);
      expect(isGone, "I7", "an operator was told that a record is gone, and it is not");
    }
  }

  /** A claim is for one content, and whoever runs under it has that one. */
  #checkFingerprint(grant: Grant, expect: Expect): void {
    const { payload } = this.call;
    grant.payload = payload;
    for (const each of this.#record.grants.values()) {
      const isOther = each.payload !== undefined && each.payload !== payload;
      const isAlike = isOther && each.fingerprint === grant.fingerprint;
      expect(!isAlike, "I13", "a function ran under a claim for another content");
    }
  }

  /** Who knows another content is told of a conflict and learns nothing about the record. */
  #checkOwnContent(token: number | undefined, expect: Expect): void {
    const { grants } = this.#record;
    const met = token === undefined ? [...grants.values()] : [grants.get(token)];
    const isOwn = met.some((each) => (each?.payload ?? this.call.payload) === this.call.payload);
    const isAlone = met.length === 0 || (token === undefined && this.hasCompany);
    expect(isOwn || isAlone, "I13", "a caller with another content was not told of a conflict");
  }

  #checkReleased(recorded: boolean, expect: Expect): void {
    const isGivenBack = this.#grant?.isGivenUp === true || this.#grant?.isRemoved === true;
    expect(isGivenBack || !recorded, "I7", "a release was confirmed that never was");
  }

  #checkRecorded(status: Outcome["status"], value: string | undefined, expect: Expect): void {
    const recorded = this.#outcomes(status, this.#grant?.token ?? this.function.committedToken);
    const isThere = recorded.some(
      ({ body }) =>
        value === undefined ||
        body === `json:${value}` ||
        (value.includes('"total"') && body.startsWith("none:")),
    );
    expect(isThere, "I7", "a caller was told that its outcome is recorded, and it is not");
  }

  /** Who knows another content of the key learns nothing about the outcome of this one. */
  #checkContent(text: string, expect: Expect): void {
    const contents = text.match(/content-\d+/g) ?? [];
    const isOwn = contents.every((content) => content === this.call.payload);
    expect(isOwn, "I13", "a caller with another content was shown the outcome");
  }

  #outcomes(status: Outcome["status"], token: number | undefined): readonly Outcome[] {
    const { outcomes } = this.#record;
    return outcomes.filter((each) => each.status === status && each.grant.token === token);
  }
}

function messageIn(body: string): string | undefined {
  if (!body.startsWith("error:")) return undefined;
  return (JSON.parse(body.slice("error:".length)) as { readonly message?: string }).message;
}
