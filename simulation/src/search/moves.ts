import type { Claim, ClaimOutcome } from "@idemkit/engine";
import { transition as sound, type Transition } from "@idemkit/engine/model";
import { judgeEnd, judgeGrant } from "./judge.ts";
import { type Budget, type Caller, ID, type Message, ownerOf, type State } from "./state.ts";

const LEASE_MS = 10;
const RETENTION_MS = 1_000;

/** What can happen next, with the state that it leads to. */
export interface Move {
  readonly name: string;
  readonly to: State;
  /** The invariant that the move breaks, if it does. */
  readonly broken: string | undefined;
}

/** Everything that can happen in a state. */
export function movesFrom(state: State, transition: Transition = sound): readonly Move[] {
  return new Moves(state, transition).all();
}

type Answer = ClaimOutcome | boolean;

class Moves {
  readonly #state: State;
  readonly #transition: Transition;
  readonly #moves: Move[] = [];

  constructor(state: State, transition: Transition) {
    this.#state = state;
    this.#transition = transition;
  }

  all(): readonly Move[] {
    for (const [index, caller] of this.#state.callers.entries()) this.#callerMoves(index, caller);
    for (const [index, message] of this.#state.messages.entries()) {
      const messages = this.#state.messages.filter((_, other) => other !== index);
      const { to, broken } = this.#apply({ ...this.#state, messages }, message);
      this.#add(`a late ${message.operation} of ${message.caller}`, to, broken);
    }
    this.#lapse();
    this.#settle();
    this.#purge();
    return this.#moves;
  }

  #add(name: string, to: State, broken?: string): void {
    this.#moves.push({ name, to, broken });
  }

  #callerMoves(index: number, caller: Caller): void {
    const state = this.#state;
    const { phase } = caller;
    switch (phase) {
      case "idle":
        this.#claim(index);
        break;
      case "unsure":
        this.#add(`caller ${index} leaves its claim`, withCaller(state, index, { phase: "over" }));
        if (!caller.canAskAgain) break;
        this.#claim(index);
        this.#request(index, "return", { phase: "over" }, () => ({ phase: "over" }));
        break;
      case "granted":
        this.#run(index, caller);
        break;
      case "running":
        this.#end(index, "complete");
        if (caller.policy === "rerun") this.#end(index, "release");
        this.#renew(index, caller);
        break;
      case "unsure of the end":
        this.#add(`caller ${index} leaves its end`, withCaller(state, index, { phase: "over" }));
        if (caller.canAskAgain) this.#end(index, caller.end);
        break;
      case "over":
        break;
    }
    if (phase === "idle" || phase === "over" || state.budget.faults === 0) return;
    this.#add(`caller ${index} dies`, spend(withCaller(state, index, { phase: "over" }), "faults"));
  }

  #claim(index: number): void {
    const unsure = { phase: "unsure", canAskAgain: this.#isFirst(index, "idle") } as const;
    this.#request(index, "claim", unsure, (answer) =>
      typeof answer === "object" && answer.outcome === "claimed"
        ? { phase: "granted", token: answer.token, isLate: false }
        : { phase: "over" },
    );
  }

  #end(index: number, end: "complete" | "release"): void {
    const canAskAgain = this.#isFirst(index, "running");
    const unsure = { phase: "unsure of the end", end, canAskAgain } as const;
    this.#request(index, end, unsure, () => ({ phase: "over" }));
  }

  #isFirst(index: number, phase: Caller["phase"]): boolean {
    return this.#state.callers[index]?.phase === phase;
  }

  /** All that can become of a request: answered, its answer lost, late, or done twice. */
  #request(
    caller: number,
    operation: Message["operation"],
    unsure: Partial<Caller>,
    after: (answer: Answer) => Partial<Caller>,
  ): void {
    const state = this.#state;
    const message = { operation, caller, token: state.callers[caller]?.token ?? 0 };
    const { to, broken, answer } = this.#apply(state, message);
    const answered = withCaller(to, caller, after(answer));
    const name = `${operation} of ${caller}`;
    this.#add(name, answered, broken);
    if (state.budget.faults === 0) return;
    const lost = spend(withCaller(to, caller, unsure), "faults");
    this.#add(`${name}, its answer lost`, lost, broken);
    const late = spend(withCaller(withMessage(state, message), caller, unsure), "faults");
    this.#add(`${name}, on its way for long`, late);
    this.#add(`${name}, to come again`, spend(withMessage(answered, message), "faults"), broken);
  }

  /** A function starts; where a lease may be over, the claim is renewed first. */
  #run(index: number, caller: Caller): void {
    const state = this.#state;
    const { record, answer } = this.#renewed(index, caller);
    if (caller.isLate && !answer) {
      this.#add(`caller ${index} has lost its claim`, withCaller(state, index, { phase: "over" }));
      return;
    }
    const { openRuns } = state.facts;
    const facts = { ...state.facts, openRuns: Math.min(openRuns + 1, 2) };
    const running = { phase: "running", isLate: false } as const;
    const to = withCaller({ ...state, facts }, index, running);
    const isAllowed = openRuns === 0 || caller.policy === "rerun";
    const name = `caller ${index} runs`;
    this.#add(name, caller.isLate ? { ...to, record } : to, isAllowed ? undefined : "I2");
  }

  #renew(index: number, caller: Caller): void {
    const { record, answer } = this.#renewed(index, caller);
    if (answer) this.#add(`caller ${index} renews`, { ...this.#state, record });
  }

  #renewed(index: number, { token }: Caller) {
    const renewal = { id: ID, owner: ownerOf(index), token, leaseMs: LEASE_MS };
    return this.#transition(this.#state.record, "renew", renewal, this.#state.nowMs);
  }

  #apply(state: State, { operation, caller, token }: Message) {
    const { record, nowMs } = state;
    const claim = { id: ID, owner: ownerOf(caller), token };
    if (operation === "claim" || operation === "return") {
      const takeOver = operation === "claim" && state.callers[caller]?.policy === "rerun";
      const times = { leaseMs: LEASE_MS, retentionMs: RETENTION_MS };
      const request = { id: ID, owner: claim.owner, fingerprint: "f", ...times, takeOver };
      const step = this.#transition(record, "claim", request, nowMs);
      const judged = judgeGrant(state, caller, takeOver, step.record, step.answer);
      const to = operation === "return" ? returned(judged.to, caller, step.answer) : judged.to;
      return { ...judged, to, answer: step.answer };
    }
    if (operation === "release") {
      const step = this.#transition(record, "release", claim, nowMs);
      return {
        ...judgeEnd(state, claim, "release", step.record, step.answer),
        answer: step.answer,
      };
    }
    if (operation === "drop") return this.#drop(state, claim);
    const isSettled = operation === "settle";
    const body = isSettled ? "settled" : `by ${caller}`;
    const times = { retentionMs: RETENTION_MS, ifLapsed: isSettled };
    const outcome = { status: "succeeded", body, ...times } as const;
    const step = this.#transition(record, "complete", { ...claim, ...outcome }, nowMs);
    return { ...judgeEnd(state, claim, body, step.record, step.answer), answer: step.answer };
  }

  /** An operator gives lapsed work back: written as unknown first, which no owner can renew. */
  #drop(state: State, claim: Claim) {
    const { record, nowMs } = state;
    const unknown = { ...claim, status: "unknown", body: "", ifLapsed: true } as const;
    const step = this.#transition(record, "complete", unknown, nowMs);
    if (!step.answer)
      return { to: { ...state, record: step.record }, broken: undefined, answer: false };
    const released = this.#transition(step.record, "release", claim, nowMs);
    const judged = judgeEnd(state, claim, "release", released.record, released.answer);
    return { ...judged, answer: released.answer };
  }

  #lapse(): void {
    const { record, nowMs, callers, budget } = this.#state;
    if (record?.status !== "claimed" || record.leaseEndsAt <= nowMs || budget.lapses === 0) return;
    const late = callers.map((caller) => ({ ...caller, isLate: caller.phase === "granted" }));
    const to = { ...this.#state, callers: late, nowMs: record.leaseEndsAt };
    this.#add("the lease lapses", spend(to, "lapses"));
  }

  /** An operator decides what lapsed: from then on the decision is on its way. */
  #settle(): void {
    const { record, nowMs, budget } = this.#state;
    if (record?.status !== "claimed" || record.leaseEndsAt > nowMs || budget.operators === 0)
      return;
    const caller = Number(record.owner.split(" ")[1]);
    for (const operation of ["settle", "drop"] as const) {
      const message = { operation, caller, token: record.token };
      const to = spend(withMessage(this.#state, message), "operators");
      this.#add(`an operator decides to ${operation}`, to);
    }
  }

  #purge(): void {
    const { record, nowMs, budget, messages, facts } = this.#state;
    if (record === undefined || budget.operators === 0) return;
    const isOpen = record.status === "claimed";
    // Retention outlasts every message.
    if (!isOpen && messages.length > 0) return;
    const atMs = Math.max(nowMs, record.expiresAt + 1);
    const purged = this.#transition(record, "purge", undefined, atMs);
    if (purged.record !== undefined) return;
    const forgotten = { ...facts, body: undefined, openRuns: 0 };
    const to = { ...this.#state, record: undefined, nowMs: atMs, facts: forgotten };
    this.#add("the record is purged", spend(to, "operators"), isOpen ? "I15" : undefined);
  }
}

/** Who only asked in order to give back does so, unless it took over. */
function returned(state: State, caller: number, answer: ClaimOutcome): State {
  const isNew = answer.outcome === "claimed" && !answer.takenOver;
  return isNew ? withMessage(state, { operation: "release", caller, token: answer.token }) : state;
}

function withCaller(state: State, index: number, change: Partial<Caller>): State {
  const callers = state.callers.slice();
  callers[index] = { ...(callers[index] as Caller), ...change };
  return { ...state, callers };
}

function withMessage(state: State, message: Message): State {
  return { ...state, messages: [...state.messages, message] };
}

function spend(state: State, what: keyof Budget): State {
  return { ...state, budget: { ...state.budget, [what]: state.budget[what] - 1 } };
}
