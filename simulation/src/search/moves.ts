import type { ClaimOutcome } from "@idemkit/engine";
import { transition as sound, type Transition } from "@idemkit/engine/model";
import { bodyOf, judgeClaim, judgeWrite } from "./judge.ts";
import {
  ABSENT,
  type Budget,
  type Caller,
  ID,
  LEASE_MS,
  type Message,
  ownerOf,
  type State,
} from "./state.ts";

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
        // What took over is open still, whatever became of its own function.
        if (caller.policy === "rerun") this.#end(index, caller.tookOver ? "lapse" : "release");
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
        ? { phase: "granted", token: answer.token, tookOver: answer.takenOver, isLate: false }
        : { phase: "over" },
    );
  }

  #end(index: number, end: Caller["end"]): void {
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
    const renewal = { operation: "renew", caller: index, token: caller.token } as const;
    const renewed = this.#apply(this.#state, renewal);
    if (caller.isLate && !renewed.answer) {
      const lost = withCaller(renewed.to, index, { phase: "over" });
      this.#add(`caller ${index} has lost its claim`, lost, renewed.broken);
      return;
    }
    const from = caller.isLate ? renewed.to : this.#state;
    const { openRuns, holder, token } = from.facts;
    const isHolder = holder === index && token === caller.token;
    const hasRun = from.facts.hasRun || isHolder;
    const facts = { ...from.facts, hasRun, openRuns: openRuns + 1 };
    const to = withCaller({ ...from, facts }, index, { phase: "running", isLate: false });
    const isAllowed = openRuns === 0 || caller.policy === "rerun";
    const broken = caller.isLate ? renewed.broken : undefined;
    this.#add(`caller ${index} runs`, to, isAllowed ? broken : "I2");
  }

  #renew(index: number, { token }: Caller): void {
    const { to, broken } = this.#apply(this.#state, { operation: "renew", caller: index, token });
    this.#add(`caller ${index} renews`, to, broken);
  }

  #apply(state: State, message: Message) {
    const { operation, caller, token } = message;
    const { record, nowMs } = state;
    const claim = { id: ID, owner: ownerOf(caller), token };
    if (operation === "claim" || operation === "return") {
      const takeOver = operation === "claim" && state.callers[caller]?.policy === "rerun";
      const times = { leaseMs: LEASE_MS, retentionMs: RETENTION_MS };
      const request = { id: ID, owner: claim.owner, fingerprint: "f", ...times, takeOver };
      const step = this.#transition(record, "claim", request, nowMs);
      const { answer } = step;
      const { facts, broken } = judgeClaim(state, caller, takeOver, answer);
      const done = { ...state, record: step.record, facts };
      const to = operation === "return" ? returned(done, caller, answer) : done;
      return { to, broken, answer };
    }
    const step = this.#written(state, message);
    const { answer } = step;
    const { facts, broken } = judgeWrite(state, message, answer);
    const done = { ...state, record: step.record, facts };
    const isDropped = operation === "drop" && answer;
    const to = isDropped ? withMessage(done, { operation: "free", caller, token }) : done;
    return { to, broken, answer };
  }

  #written({ record, nowMs }: State, message: Message) {
    const { operation, caller, token } = message;
    const claim = { id: ID, owner: ownerOf(caller), token };
    switch (operation) {
      case "renew":
      case "lapse": {
        const leaseMs = operation === "lapse" ? 0 : LEASE_MS;
        return this.#transition(record, "renew", { ...claim, leaseMs }, nowMs);
      }
      case "release":
      case "free":
        return this.#transition(record, "release", claim, nowMs);
      default: {
        const status = operation === "drop" ? "unknown" : "succeeded";
        const ifLapsed = operation !== "complete";
        const outcome = { status, body: bodyOf(message), retentionMs: RETENTION_MS } as const;
        return this.#transition(record, "complete", { ...claim, ...outcome, ifLapsed }, nowMs);
      }
    }
  }

  #lapse(): void {
    const { record, nowMs, callers, budget } = this.#state;
    if (record?.status !== "claimed" || record.leaseEndsAt <= nowMs || budget.lapses === 0) return;
    const late = callers.map((caller) => ({ ...caller, isLate: caller.phase === "granted" }));
    const to = { ...this.#state, callers: late, nowMs: record.leaseEndsAt };
    this.#add("the lease lapses", spend(to, "lapses"));
  }

  /** An operator decides what is open: from then on the decision is on its way. */
  #settle(): void {
    const { record, nowMs, budget } = this.#state;
    const isLapsed = record?.status === "claimed" && record.leaseEndsAt <= nowMs;
    const isOpen = isLapsed || record?.status === "unknown";
    if (record === undefined || !isOpen || budget.operators === 0) return;
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
    const isOpen = record.status === "claimed" || record.status === "unknown";
    // Retention outlasts every message.
    if (!isOpen && messages.length > 0) return;
    const atMs = Math.max(nowMs, record.expiresAt + 1);
    const purged = this.#transition(record, "purge", undefined, atMs);
    if (purged.record !== undefined) return;
    const forgotten = { ...ABSENT, tokenMax: facts.tokenMax };
    const to = { ...this.#state, record: undefined, nowMs: atMs, facts: forgotten };
    this.#add("the record is purged", spend(to, "operators"), isOpen ? "I15" : undefined);
  }
}

/** Who only asked in order to give back does so. */
function returned(state: State, caller: number, answer: ClaimOutcome): State {
  if (answer.outcome !== "claimed") return state;
  const operation = answer.takenOver ? "lapse" : "release";
  return withMessage(state, { operation, caller, token: answer.token });
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
