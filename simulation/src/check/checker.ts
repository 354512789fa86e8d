import type { Applied, Event, History, RunEvent, Told } from "../history.ts";
import { CallLedger } from "./call-ledger.ts";
import { Calm } from "./calm.ts";
import { checkCommit } from "./commits.ts";
import type { Expect, InvariantId, Violation } from "./invariants.ts";
import { Leases } from "./leases.ts";
import { Owners } from "./owners.ts";
import { Processes } from "./processes.ts";
import { RecordLedger } from "./record-ledger.ts";

/** Holds a history against every invariant and answers what it breaks, in order. */
export function check(history: History): readonly Violation[] {
  const checker = new Checker(history);
  for (const [index, { event, atMs }] of history.happenings.entries()) {
    checker.take(event, atMs, index);
  }
  return checker.violations;
}

class Checker {
  readonly violations: Violation[] = [];
  readonly #terms: History["terms"];
  readonly #calm: Calm;
  readonly #processes: Processes;
  readonly #leases: Leases;
  readonly #records = new Map<string, RecordLedger>();
  readonly #calls = new Map<number, CallLedger>();
  readonly #contents = new Map<string, Set<string>>();
  readonly #owners = new Owners();
  /** Whether a transaction was asked for: what it has read is not seen. */
  #hasTransactions = false;
  #at = 0;

  constructor({ terms }: History) {
    this.#terms = terms;
    this.#calm = new Calm(terms.areClocksTrue);
    this.#processes = new Processes(terms.closeBoundMs);
    this.#leases = new Leases(terms, this.#calm, (...given) => this.#expect(...given));
  }

  take(event: Event, atMs: number, index: number): void {
    this.#at = index;
    this.#calm.take(event);
    this.#processes.take(event, atMs, this.#expect);
    switch (event.kind) {
      case "call":
        this.#begin(event);
        break;
      case "run":
      case "ran":
        this.#run(event, atMs);
        break;
      case "told":
        this.#tell(event, atMs);
        break;
      case "owner":
        this.#owners.mint(event, index, this.#openCallsOf(event.process));
        break;
      case "sent":
        this.#owners.sent(event, index);
        break;
      case "applied":
        this.#apply(event, atMs);
        break;
      case "committed":
        this.#commit(event, atMs);
        break;
      case "booked": {
        const { effects, grants } = this.#record(event.record);
        const life = grants.get(event.token)?.life;
        if (life !== undefined) effects.book(life, event.step, this.#expect);
        break;
      }
      case "blocked":
        for (const each of this.#openCallsFor(event.record)) each.hasMetLock = true;
        break;
      case "purged":
        this.#purge(event);
        break;
      case "heard":
        this.#expect(!/canary/.test(event.text), "I8", "an event shows what was stored");
        if (event.name === "aborted") this.#abort(event.process, event);
        break;
      case "closed":
        this.#abort(event.process);
        break;
      case "last word":
        this.#checkLastWord(event);
        break;
      case "rest":
        this.#rest(event);
        break;
      case "fault":
      case "died":
      case "closing":
      case "healed":
        break;
      default:
        this.#follow(event, atMs);
        break;
    }
  }

  readonly #expect: Expect = (condition, invariant: InvariantId, what) => {
    if (!condition) this.violations.push({ invariant, what, at: this.#at });
  };

  #record(name: string): RecordLedger {
    const record = this.#records.get(name) ?? new RecordLedger();
    this.#records.set(name, record);
    return record;
  }

  #begin(event: Extract<Event, { kind: "call" }>): void {
    const { areClocksTrue } = this.#terms;
    const { call, record, payload } = event;
    const ledger = new CallLedger(event, this.#record(record), areClocksTrue);
    for (const each of this.#openCallsOf(event.process)) {
      if (each.call.record !== record) continue;
      each.hasCompany = true;
      ledger.hasCompany = true;
    }
    this.#calls.set(call, ledger);
    this.#hasTransactions ||= event.how === "transaction";
    const { state, overruling } = this.#record(record);
    ledger.hasSeenDoubt = state === "unknown";
    ledger.hasSeenHolder = this.#hasTransactions && state === "claimed";
    if (event.overrules !== undefined) overruling.add(event.overrules);
    const contents = this.#contents.get(record) ?? new Set();
    this.#contents.set(record, contents.add(payload));
    if (contents.size < 2) return;
    for (const each of this.#calls.values()) {
      if (each.call.record === record) each.isContested = true;
    }
  }

  #run(event: Extract<Event, { kind: "run" | "ran" }>, atMs: number): void {
    const ledger = this.#calls.get(event.call);
    if (ledger === undefined) return;
    if (event.kind === "run") {
      ledger.function.startedAtMs = atMs;
      ledger.run(event, this.#expect);
    } else {
      const { grant, call } = ledger;
      if (grant !== undefined) this.#leases.goesOn(this.#record(call.record), grant, atMs);
      ledger.ran(event);
      this.#processes.noteEnd(ledger.call.process);
    }
  }

  #tell(event: Extract<Event, { kind: "told" }>, atMs: number): void {
    const ledger = this.#calls.get(event.call);
    if (ledger === undefined) return;
    this.#processes.checkWaitedFor(event.call, ledger.call.process, atMs, this.#expect);
    this.#checkCause(ledger, event.told);
    ledger.tell(event.told, this.#at, this.#expect);
  }

  #commit(event: Extract<Event, { kind: "committed" }>, atMs: number): void {
    for (const each of event.applied) this.#look(each);
    const call = event.call === undefined ? undefined : this.#calls.get(event.call);
    checkCommit({ event, atMs, call, recordOf: (name) => this.#record(name) }, this.#expect);
  }

  /** What a function does and learns. */
  #follow(event: RunEvent, atMs: number): void {
    const ledger = this.#calls.get(event.call);
    if (ledger === undefined) return;
    const { grant: own } = ledger;
    if (own !== undefined) this.#leases.goesOn(this.#record(ledger.call.record), own, atMs);
    this.#checkDoubt(event, ledger);
    ledger.follow(event, this.#expect);
    const record = this.#record(ledger.call.record);
    const { areClocksTrue, areRequestsBounded } = this.#terms;
    if (event.kind === "step" || event.kind === "found")
      this.#processes.noteEnd(ledger.call.process);
    if (event.kind === "resolved" && event.finding === "did-not-happen") {
      record.effects.allow(ledger.grant?.life ?? 0, event.step);
    }
    if (event.kind !== "asks" && event.kind !== "found") return;
    const grant = record.grants.get(event.token);
    if (grant === undefined) return;
    if (event.kind === "asks") {
      const { lapsedForMs = Number.POSITIVE_INFINITY, notedAtMs } = grant;
      // The store's clock shows whole milliseconds.
      const settledForMs = lapsedForMs + (atMs - notedAtMs) + 1;
      const isSettled = settledForMs >= (ledger.call.settleAfterMs ?? 0);
      this.#expect(isSettled || !areClocksTrue, "F5", "the provider was asked too soon");
      return;
    }
    const isWhole = event.step === "";
    if (event.finding === "still-unknown" || event.finding === "threw") {
      ledger.hasSeenDoubt = true;
    }
    if (event.finding === "happened" && isWhole) grant.isFoundHappened = true;
    if (event.finding !== "did-not-happen") return;
    if (isWhole) record.openRuns = 0;
    // If a request can be late without a limit, the provider can be asked before it arrives.
    if (!areRequestsBounded) record.effects.allow(grant.life, isWhole ? undefined : event.step);
  }

  /** A step that has failed is in doubt only if the store could not be informed. */
  #checkDoubt(event: RunEvent, { call, function: run, grant }: CallLedger): void {
    if (event.kind !== "step" || event.code !== "OUTCOME_UNKNOWN" || grant === undefined) return;
    const isOpen = this.#record(call.record).effects.isOpen(grant.life, event.step);
    const isKnown = isOpen || run.doubts(event.step) || !this.#calm.isCalm;
    this.#expect(isKnown, "I7", "a step was called in doubt that had ended");
  }

  /** What open calls may have learnt of a record. */
  #look(event: Applied): void {
    if (event.operation === "complete" && event.given.status === "unknown") {
      for (const each of this.#openCallsFor(event.record)) each.hasSeenDoubt = true;
    }
    if (event.operation !== "claim") return;
    const { answer } = event;
    const isOpen =
      answer.outcome === "lapsed" ||
      (answer.outcome === "completed" && answer.status === "unknown");
    const isHeld =
      answer.outcome === "in-progress" || (this.#hasTransactions && answer.outcome === "claimed");
    for (const each of this.#openCallsFor(event.record)) {
      each.hasSeenDoubt ||= isOpen;
      each.hasSeenHolder ||= isHeld;
    }
  }

  #apply(event: Applied, atMs: number): void {
    const record = this.#record(event.record);
    this.#look(event);
    if (event.operation === "renew") this.#leases.renew(event, record, atMs);
    if (event.operation === "claim") {
      const holder = record.holder?.process ?? "";
      this.#leases.claim(event, record, this.#processes.isDead(holder));
      this.#owners.check(event, record, this.#expect);
    }
    record.apply(event, atMs, this.#expect);
  }

  /** The engine of the process has aborted a run, or all that it still has. */
  #abort(process: string, of?: { readonly record?: string; readonly token?: number }): void {
    const aborted = of?.record && this.#record(of.record).grants.get(of.token ?? 0);
    if (aborted) aborted.isAborted = true;
    for (const { call, function: run, grant } of this.#calls.values()) {
      if (call.process !== process || grant === undefined || run.isOver) continue;
      const isMeant = call.record === of?.record && grant.token === of.token;
      if (of === undefined || isMeant) run.isAborted = true;
    }
  }

  #openCallsFor(record: string): readonly CallLedger[] {
    return [...this.#calls.values()].filter(
      ({ call, isTold }) => !isTold && call.record === record,
    );
  }

  #openCallsOf(process: string): readonly CallLedger[] {
    const calls = [...this.#calls.values()];
    return calls.filter(({ call, isTold }) => !isTold && call.process === process);
  }

  #purge({ limit, records, storeMs }: Extract<Event, { kind: "purged" }>): void {
    this.#expect(records.length <= limit, "I15", "a purge removed more than it was asked to");
    for (const name of records) this.#record(name).purge(storeMs, this.#expect);
  }

  /** Nobody is told of a fault or an end that there was not. */
  #checkCause(ledger: CallLedger, told: Told): void {
    const code = told.as === "error" ? told.code : told.as;
    if (code === "ENGINE_CLOSED") {
      const isClosing = this.#processes.isClosing(ledger.call.process);
      this.#expect(isClosing, "I14", "a call was ended by a close that never began");
    }
    const isFailure = code === "STORE_FAILED" || ("recorded" in told && !told.recorded);
    const isDoubtful = isFailure || (code === "OUTCOME_UNKNOWN" && !ledger.hasRuns);
    // The abort of a limited run is not seen by a function that never reads its signal.
    const mayBeAborted = ledger.function.isAborted || ledger.call.maxRunMs !== undefined;
    if (!isDoubtful || !this.#calm.isCalm || mayBeAborted) return;
    // A step that the abort of an earlier run has left in doubt.
    if (ledger.function.isInDoubt) return;
    // Beside a transaction of its own process it waits until that has begun, which takes several messages.
    if (code === "STORE_FAILED" && this.#hasTransactions && ledger.hasCompany) return;
    this.#expect(
      ledger.isOverruled,
      "I9",
      `a call ended with ${code} in doubt, but nothing went wrong`,
    );
  }

  #checkLastWord({ record, told, isListed }: Extract<Event, { kind: "last word" }>): void {
    const isStuck = ["IN_PROGRESS", "STORE_FAILED", "aborted", "LEASE_LOST"].includes(told);
    this.#expect(!isStuck, "L1", `once all is well, ${record} still answers ${told}`);
    const isKnown = told !== "OUTCOME_UNKNOWN" || isListed;
    this.#expect(isKnown, "L1", `${record} is unknown, but no list shows it`);
  }

  #rest({ isEndless, timers }: Extract<Event, { kind: "rest" }>): void {
    this.#expect(!isEndless, "I16", "the processes never come to rest");
    this.#expect(timers === 0, "I16", `${timers} timers are left`);
    for (const { call, isTold } of this.#calls.values()) {
      const mayGoOn = this.#processes.isDead(call.process) || call.mayHang === true;
      const isOver = isTold || mayGoOn || isEndless;
      this.#expect(isOver, "I14", `call ${call.call} never ended`);
    }
  }
}
