import type { Applied, Event, History, RunEvent } from "../history.ts";
import { CallLedger } from "./call-ledger.ts";
import { checkCommit } from "./commits.ts";
import type { Expect, InvariantId, Violation } from "./invariants.ts";
import { RecordLedger } from "./record-ledger.ts";

/** Holds a history against every invariant and answers what it breaks, in order. */
export function check(history: History): readonly Violation[] {
  const checker = new Checker(history);
  for (const [index, { event, atMs }] of history.happenings.entries()) {
    checker.take(event, atMs, index);
  }
  return checker.violations;
}

/** A process's clock may run a little fast. */
const CLOCK_SHARE = 0.8;
/** How much the ways of two messages may differ. */
const HOPS_MS = 8;

/** An owner, and which calls of its process can have asked for it. */
interface Minted {
  readonly process: string;
  readonly index: number;
  readonly by: readonly CallLedger[];
}

class Checker {
  readonly violations: Violation[] = [];
  readonly #history: History;
  readonly #records = new Map<string, RecordLedger>();
  readonly #calls = new Map<number, CallLedger>();
  readonly #dead = new Set<string>();
  readonly #graceEndsAtMs = new Map<string, number>();
  readonly #closedAtMs = new Map<string, number>();
  /** Processes with a function that ended after its engine. */
  readonly #outliving = new Set<string>();
  readonly #contents = new Map<string, Set<string>>();
  readonly #minted = new Map<string, Minted>();
  /** Whether nothing has gone wrong yet, and whether nothing has but that engines were closed. */
  #isCalm: boolean;
  #isCalmButClosing: boolean;
  /** Whether a transaction was asked for: what it has read is not seen. */
  #hasTransactions = false;
  #at = 0;

  constructor(history: History) {
    this.#history = history;
    this.#isCalm = history.terms.areClocksTrue;
    this.#isCalmButClosing = this.#isCalm;
  }

  take(event: Event, atMs: number, index: number): void {
    this.#at = index;
    switch (event.kind) {
      case "call":
        this.#begin(event);
        break;
      case "run": {
        const ledger = this.#calls.get(event.call);
        ledger?.run(event, this.#expect);
        if (ledger !== undefined) ledger.function.startedAtMs = atMs;
        break;
      }
      case "listens":
      case "aborted":
      case "decides":
      case "step":
      case "asks":
      case "found":
      case "resolved":
      case "works":
      case "worked":
        this.#follow(event);
        break;
      case "booked": {
        const { effects, grants } = this.#record(event.record);
        const life = grants.get(event.token)?.life;
        if (life !== undefined) effects.book(life, event.step, this.#expect);
        break;
      }
      case "committed": {
        for (const each of event.applied) this.#look(each);
        const call = event.call === undefined ? undefined : this.#calls.get(event.call);
        checkCommit(event, call, (name) => this.#record(name), this.#expect);
        break;
      }
      case "blocked":
        this.#isCalm = false;
        this.#isCalmButClosing = false;
        for (const each of this.#openCallsFor(event.record)) each.hasSeenHolder = true;
        break;
      case "ran":
        this.#ran(event);
        break;
      case "told":
        this.#checkWaitedFor(event.call, atMs);
        this.#checkCause(event);
        this.#calls.get(event.call)?.tell(event.told, this.#expect);
        break;
      case "owner":
        this.#minted.set(event.owner, { ...event, index, by: this.#openCallsOf(event.process) });
        break;
      case "fault":
        this.#isCalm = false;
        this.#isCalmButClosing = false;
        break;
      case "sent":
        this.#isCalm &&= event.fate === "fine";
        this.#isCalmButClosing &&= event.fate === "fine";
        // A function that outlives its engine still reports its end.
        if (!(event.isEnd && this.#outliving.has(event.process))) {
          this.#checkClosed(event.process, atMs);
        }
        break;
      case "applied":
        this.#apply(event, atMs);
        break;
      case "purged":
        this.#purge(event);
        break;
      case "heard":
        this.#expect(!/canary/.test(event.text), "I8", "an event shows what was stored");
        if (event.name === "lease-lost") this.#abort(event.process, event);
        break;
      case "died":
        this.#isCalm = false;
        this.#isCalmButClosing = false;
        this.#dead.add(event.process);
        break;
      case "closing":
        this.#isCalm = false;
        this.#graceEndsAtMs.set(event.process, atMs + event.graceMs * CLOCK_SHARE);
        break;
      case "closed":
        this.#closedAtMs.set(event.process, atMs);
        this.#abort(event.process);
        break;
      case "last word":
        this.#checkLastWord(event);
        break;
      case "rest":
        this.#rest(event);
        break;
      default:
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
    const { areClocksTrue } = this.#history.terms;
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

  /** What a function does and learns. */
  #follow(event: RunEvent): void {
    const ledger = this.#calls.get(event.call);
    if (ledger === undefined) return;
    ledger.follow(event, this.#expect);
    const record = this.#record(ledger.call.record);
    const { areClocksTrue, areRequestsBounded } = this.#history.terms;
    if (event.kind === "resolved" && event.finding === "did-not-happen") {
      record.effects.allow(ledger.grant?.life ?? 0, event.step);
    }
    if (event.kind !== "asks" && event.kind !== "found") return;
    const grant = record.grants.get(event.token);
    if (grant === undefined) return;
    if (event.kind === "asks") {
      const { lapsedForMs = Number.POSITIVE_INFINITY } = grant;
      const isSettled = lapsedForMs >= (ledger.call.settleAfterMs ?? 0);
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
    // Where a request can be late without a limit, who asks can be told too soon that there is none.
    if (!areRequestsBounded) record.effects.allow(grant.life, isWhole ? undefined : event.step);
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
    if (event.operation === "renew") this.#checkLease(event, record, atMs);
    if (event.operation === "claim") {
      const { answer } = event;
      this.#checkLapse(event, record);
      const isRefused = answer.outcome === "lapsed" || answer.outcome === "in-progress";
      if (isRefused) this.#checkOwnClaim(event.record, event.given.owner, record);
    }
    record.apply(event, this.#expect);
  }

  #ran(event: Extract<Event, { kind: "ran" }>): void {
    const ledger = this.#calls.get(event.call);
    ledger?.ran(event);
    const process = ledger?.call.process ?? "";
    if (this.#closedAtMs.has(process)) this.#outliving.add(process);
  }

  /** The engine of the process has aborted a run, or all that it still has. */
  #abort(process: string, of?: { readonly record?: string; readonly token?: number }): void {
    for (const { call, function: run, grant } of this.#calls.values()) {
      if (call.process !== process || grant === undefined || run.ended !== undefined) continue;
      const isMeant = call.record === of?.record && grant.token === of.token;
      if (of === undefined || isMeant) run.isAborted = true;
    }
  }

  #openCallsFor(record: string): readonly CallLedger[] {
    return [...this.#calls.values()].filter(
      ({ call, isTold }) => !isTold && call.record === record,
    );
  }

  /** After an abort the lease is neither shortened nor, once the run is too long, prolonged. */
  #checkLease(
    { given, answer, storeMs }: Extract<Applied, { operation: "renew" }>,
    { holder }: RecordLedger,
    atMs: number,
  ): void {
    const run = holder?.run;
    const { leaseMs } = given;
    if (!answer || holder?.token !== given.token || run === undefined) return;
    if (!this.#isCalmButClosing || leaseMs === undefined) return;
    const byMs = storeMs + leaseMs - holder.leaseEndsAtMs;
    this.#expect(!run.isCut || byMs > -HOPS_MS, "F4", "a lease was shortened after an abort");
    const limitMs = run.call.maxRunMs ?? Number.POSITIVE_INFINITY;
    const untilMs = (run.startedAtMs ?? atMs) + limitMs + this.#history.terms.closeBoundMs;
    this.#expect(atMs <= untilMs || byMs < HOPS_MS, "F4", "a run that is too long was prolonged");
  }

  #openCallsOf(process: string): readonly CallLedger[] {
    const calls = [...this.#calls.values()];
    return calls.filter(({ call, isTold }) => !isTold && call.process === process);
  }

  /** A call that is alone in its process must not find a claim that only itself can have sent. */
  #checkOwnClaim(name: string, owner: string, record: RecordLedger): void {
    const asking = this.#minted.get(owner);
    const { holder, state } = record;
    const holding = holder && this.#minted.get(holder.owner);
    if (state !== "claimed" || holding === undefined || asking === undefined) return;
    if (holder?.owner === owner || holding.index > asking.index) return;
    const [mine, ...others] = asking.by.filter(({ call }) => call.record === name);
    const [theirs, ...rivals] = holding.by.filter(({ call }) => call.record === name);
    const isAlone = others.length === 0 && rivals.length === 0 && mine === theirs;
    const isOwn =
      isAlone && mine !== undefined && !mine.isTold && !mine.isDropped && holder?.runs === 0;
    this.#expect(!isOwn, "I9", "a call was refused because of its own earlier claim");
  }

  #purge({ limit, records, storeMs }: Extract<Event, { kind: "purged" }>): void {
    this.#expect(records.length <= limit, "I15", "a purge removed more than it was asked to");
    for (const name of records) this.#record(name).purge(storeMs, this.#expect);
  }

  #checkClosed(process: string, atMs: number): void {
    const closedAtMs = this.#closedAtMs.get(process);
    const { closeBoundMs } = this.#history.terms;
    const isQuiet = closedAtMs === undefined || atMs <= closedAtMs + closeBoundMs;
    this.#expect(isQuiet, "I16", `${process} still sends after it was closed`);
  }

  /** The lease of a running function ends only where something goes wrong. */
  #checkLapse(
    { answer }: Extract<Applied, { operation: "claim" }>,
    { holder }: RecordLedger,
  ): void {
    const isLapsed =
      answer.outcome === "lapsed" || (answer.outcome === "claimed" && answer.takenOver);
    if (!isLapsed || !this.#isCalm || holder === undefined || holder.isGivenUp) return;
    // One that runs too long, or leaves a step in doubt, lets its lease run out.
    const { call, isInDoubt = false } = holder.run ?? {};
    if (isInDoubt || call?.maxRunMs !== undefined) return;
    this.#expect(holder.runs === 0, "I10", "the lease of a running function ended by itself");
  }

  /** Nobody is told of a fault or an end that there was not. */
  #checkCause({ call, told }: Extract<Event, { kind: "told" }>): void {
    const ledger = this.#calls.get(call);
    const code = told.as === "error" ? told.code : told.as;
    if (code === "ENGINE_CLOSED") {
      const isClosing = this.#graceEndsAtMs.has(ledger?.call.process ?? "");
      this.#expect(isClosing, "I14", "a call was ended by a close that never began");
    }
    const isFailure = code === "STORE_FAILED" || ("recorded" in told && !told.recorded);
    const isDoubtful = isFailure || (code === "OUTCOME_UNKNOWN" && ledger?.hasRuns === false);
    if (!isDoubtful || !this.#isCalm || ledger?.function.isAborted) return;
    const isTouched = ledger?.isOverruled === true;
    this.#expect(isTouched, "I9", `a call ended with ${code} in doubt, but nothing went wrong`);
  }

  /** While there is grace, close waits for every call. */
  #checkWaitedFor(call: number, atMs: number): void {
    const process = this.#calls.get(call)?.call.process ?? "";
    const closedAtMs = this.#closedAtMs.get(process);
    if (closedAtMs === undefined || closedAtMs >= atMs) return;
    const isGraceOver = closedAtMs >= (this.#graceEndsAtMs.get(process) ?? 0);
    this.#expect(isGraceOver, "I16", `${process} was closed while call ${call} was under way`);
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
      const mayGoOn = this.#dead.has(call.process) || call.mayHang === true;
      const isOver = isTold || mayGoOn || isEndless;
      this.#expect(isOver, "I14", `call ${call.call} never ended`);
    }
  }
}
