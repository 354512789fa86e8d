import type { Applied, Event, History } from "../history.ts";
import { CallLedger } from "./call-ledger.ts";
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
  /** Whether nothing has gone wrong yet. */
  #isCalm: boolean;
  #at = 0;

  constructor(history: History) {
    this.#history = history;
    this.#isCalm = history.terms.areClocksTrue;
  }

  take(event: Event, atMs: number, index: number): void {
    this.#at = index;
    switch (event.kind) {
      case "call":
        this.#begin(event);
        break;
      case "run":
        this.#calls.get(event.call)?.run(event, this.#expect);
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
        break;
      case "sent":
        this.#isCalm &&= event.fate === "fine";
        // A function that outlives its engine still reports its end.
        if (!(event.isEnd && this.#outliving.has(event.process))) {
          this.#checkClosed(event.process, atMs);
        }
        break;
      case "applied":
        this.#apply(event);
        break;
      case "purged":
        this.#purge(event);
        break;
      case "heard":
        this.#expect(!/canary/.test(event.text), "I8", "an event shows what was stored");
        break;
      case "died":
        this.#isCalm = false;
        this.#dead.add(event.process);
        break;
      case "closing":
        this.#graceEndsAtMs.set(event.process, atMs + event.graceMs * CLOCK_SHARE);
        break;
      case "closed":
        this.#closedAtMs.set(event.process, atMs);
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
    const contents = this.#contents.get(record) ?? new Set();
    this.#contents.set(record, contents.add(payload));
    if (contents.size < 2) return;
    for (const each of this.#calls.values()) {
      if (each.call.record === record) each.isContested = true;
    }
  }

  #apply(event: Extract<Event, { kind: "applied" }>): void {
    const record = this.#record(event.record);
    if (event.operation === "claim") {
      const { answer } = event;
      const isOpen =
        answer.outcome === "lapsed" ||
        (answer.outcome === "completed" && answer.status === "unknown");
      for (const each of this.#calls.values()) {
        if (each.call.record !== event.record || each.isTold) continue;
        each.hasSeenDoubt ||= isOpen;
        each.hasSeenHolder ||= answer.outcome === "in-progress";
      }
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
    if (!isDoubtful || !this.#isCalm) return;
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
      const isOver = isTold || this.#dead.has(call.process) || isEndless;
      this.#expect(isOver, "I14", `call ${call.call} never ended`);
    }
  }
}
