import type { CallEvent, Event, Told } from "../history.ts";
import type { Expect } from "./invariants.ts";
import type { Grant, Outcome, RecordLedger } from "./record-ledger.ts";

const CANARY = /canary-[a-z-]+/g;

/** One call as its caller saw it, held against what the store did. */
export class CallLedger {
  readonly call: CallEvent;
  readonly #record: RecordLedger;
  readonly #droppedBefore: number;
  readonly #areClocksTrue: boolean;
  #grant: Grant | undefined;
  #ran: Extract<Event, { kind: "ran" }> | undefined;
  isTold = false;
  /** Whether, since it began, the store has told somebody that the outcome is open. */
  hasSeenDoubt = false;
  /** Whether another content was ever sent for this record. */
  isContested = false;

  constructor(call: CallEvent, record: RecordLedger, areClocksTrue: boolean) {
    this.call = call;
    this.#record = record;
    this.#droppedBefore = record.dropped;
    this.#areClocksTrue = areClocksTrue;
  }

  /** Whether an operator dropped its record meanwhile, so that it went on under another owner. */
  get isDropped(): boolean {
    return this.#record.dropped > this.#droppedBefore;
  }

  run(token: number, expect: Expect): void {
    const record = this.#record;
    const grant = record.grants.get(token);
    expect(!this.isTold, "I13", "a function ran after its call had ended");
    expect(this.#grant === undefined, "I11", "a call ran its function twice");
    const isMine = grant !== undefined && grant.process === this.call.process;
    expect(isMine, "I2", "a function ran without a claim that was granted to its process");
    if (grant === undefined) return;
    grant.runs += 1;
    expect(grant.runs === 1, "I11", "two functions ran under one claim");
    this.#grant = grant;
    // Whoever drops a record decides that whatever runs or is about to run under it counts as over.
    if (grant.isRemoved) return;
    const isHeld = record.holder?.token === token;
    expect(isHeld || !this.#areClocksTrue, "I2", "a function ran under a claim that was lost");
    const isMixed = record.wasTakenOver || !isHeld;
    const isPromised = !this.call.takesOver && (this.#areClocksTrue || !isMixed);
    const isAlone = record.openRuns === 0;
    expect(isAlone || !isPromised, "I2", "at-most-once ran although an earlier run is undecided");
    record.openRuns += 1;
  }

  ran(event: Extract<Event, { kind: "ran" }>): void {
    this.#ran = event;
    if (event.end === "release" && this.#grant !== undefined) this.#grant.isReleaseDecided = true;
  }

  tell(told: Told, expect: Expect): void {
    expect(!this.isTold, "I14", "a call ended twice");
    this.isTold = true;
    this.#checkCanaries(told, expect);
    const hasRun = this.#grant !== undefined;
    switch (told.as) {
      case "executed":
        expect(hasRun, "I13", "a call reported a run that never was");
        expect(told.value === this.#ran?.said, "I7", "a caller got another value than it made");
        if (told.recorded) this.#checkRecorded("succeeded", told.value, expect);
        break;
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
        this.#checkSettled(expect);
        break;
      case "threw":
        expect(told.message === this.#ran?.said, "I7", "a caller got another error than it threw");
        break;
      case "error":
        this.#refused(told, expect);
        break;
      default:
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
        break;
      }
      case "PAYLOAD_CONFLICT":
        expect(this.isContested, "I9", "a conflict was reported where contents never differed");
        break;
      case "OUTCOME_UNKNOWN":
        expect(this.hasSeenDoubt, "I7", "an outcome was called unknown that nobody doubted");
        break;
      default:
        break;
    }
  }

  /** An operator who is told that a decision stands finds it in the record. */
  #checkSettled(expect: Expect): void {
    const status = /^settle as (succeeded|failed)$/.exec(this.call.how)?.[1];
    if (status === undefined) return;
    const isThere = this.#record.outcomes.some((each) => each.isSettled && each.status === status);
    expect(isThere, "I7", "an operator was told that a decision stands, and it does not");
  }

  #checkReleased(recorded: boolean, expect: Expect): void {
    const isGivenBack = this.#grant?.isReleased === true || this.#grant?.isRemoved === true;
    expect(isGivenBack || !recorded, "I7", "a release was confirmed that never was");
  }

  #checkRecorded(status: Outcome["status"], value: string | undefined, expect: Expect): void {
    const recorded = this.#outcomes(status, this.#grant?.token);
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

  #checkCanaries(told: Told, expect: Expect): void {
    const own = `canary-${this.call.record.replace(/^\d+:|\/.*$/g, "")}`;
    const seen = JSON.stringify(told).match(CANARY) ?? [];
    const isOwn = seen.every((canary) => canary === own);
    expect(isOwn, "I8", `a caller was shown ${seen.join(", ")} of another scope`);
    const isSilent = told.as !== "error" || !/canary/.test(told.message);
    expect(isSilent, "I8", "an error message shows what was stored");
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
