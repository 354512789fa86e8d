import type { StoredRecord } from "@idemkit/engine/model";

/** Whether a caller may take over lapsed work, as under at-least-once, or not. */
export type Policy = "block" | "rerun";

type Phase =
  | "idle"
  /** Its claim got no answer. */
  | "unsure"
  | "granted"
  | "running"
  /** Its end got no answer. */
  | "unsure of the end"
  | "over";

export interface Caller {
  readonly policy: Policy;
  readonly phase: Phase;
  readonly token: number;
  /** A lease was over since it last heard from the store: it has to make sure before it runs. */
  readonly isLate: boolean;
  readonly canAskAgain: boolean;
  readonly end: "complete" | "release";
}

/** A request that nobody waits for any more, and that the store may still apply, at any time. */
export interface Message {
  readonly operation: "claim" | "return" | "complete" | "release" | "settle" | "drop";
  /** Whose claim it is about. */
  readonly caller: number;
  readonly token: number;
}

/** How often each thing may still go wrong, or happen. */
export interface Budget {
  /** Crashes, lost answers, late requests and doubled ones, all together. */
  readonly faults: number;
  readonly lapses: number;
  /** Decisions of an operator, and purges. */
  readonly operators: number;
}

/** What is remembered beyond the record, to judge it by. */
interface Facts {
  readonly tokenMax: number;
  /** The outcome that was recorded in this life, if one was. */
  readonly body: string | undefined;
  /** Runs about which nobody has decided. */
  readonly openRuns: number;
}

export interface State {
  readonly nowMs: number;
  readonly record: StoredRecord | undefined;
  readonly callers: readonly Caller[];
  readonly messages: readonly Message[];
  readonly budget: Budget;
  readonly facts: Facts;
}

export const ID = { digest: "0".repeat(32), scope: "6:search", key: "k" };

export function ownerOf(caller: number): string {
  return `owner ${caller}`;
}

export function firstState(policies: readonly Policy[], budget: Budget): State {
  const idle = {
    phase: "idle",
    token: 0,
    isLate: false,
    canAskAgain: true,
    end: "complete",
  } as const;
  return {
    nowMs: 1,
    record: undefined,
    callers: policies.map((policy) => ({ policy, ...idle })),
    messages: [],
    budget,
    facts: { tokenMax: 0, body: undefined, openRuns: 0 },
  };
}

/** In these a caller's own token still matters. */
const HOLDING: ReadonlySet<Phase> = new Set(["granted", "running", "unsure of the end"]);
const PHASES: readonly Phase[] = ["idle", "unsure", "granted", "running", "unsure of the end"];

/**
 * The same text for states that differ in nothing that matters: in which of two equal callers is
 * which, in how late it is, and in how great tokens are as long as their order is the same.
 */
export function keyOf(state: State): string {
  const { record, callers, messages, budget, facts, nowMs } = state;
  const live = callers.filter(({ phase }) => HOLDING.has(phase)).map(({ token }) => token);
  const sent = messages.map(({ token }) => token);
  const tokens = [...new Set([0, record?.token ?? 0, facts.tokenMax, ...live, ...sent])];
  tokens.sort((one, other) => one - other);
  const rank = (token: number) => tokens.indexOf(token);
  const described: string[] = [];
  for (const [index, caller] of callers.entries()) {
    let text = describe(caller, rank);
    if (record?.owner === ownerOf(index)) text += "*";
    const own: string[] = [];
    for (const message of messages) {
      // What a late claim may do depends on who sent it, long after its sender is over.
      if (message.caller === index) {
        own.push(`${caller.policy[0]}${message.operation.slice(0, 3)}${rank(message.token)}`);
      }
    }
    described.push(text + own.sort().join(""));
  }
  let text = described.sort().join();
  if (record !== undefined) {
    const isRunning = record.status === "claimed" && record.leaseEndsAt > nowMs;
    const body = record.body?.[0] ?? "";
    text += `|${record.status}${rank(record.token)}${record.takenOver}${isRunning}${body}`;
  }
  const { faults, lapses, operators } = budget;
  const { openRuns, body = "", tokenMax } = facts;
  return `${text}|${faults}${lapses}${operators}|${openRuns}${body[0]}${rank(tokenMax)}`;
}

function describe(caller: Caller, rank: (token: number) => number): string {
  const { policy, phase, token, isLate, canAskAgain, end } = caller;
  if (phase === "over") return "over";
  const number = PHASES.indexOf(phase);
  const held = HOLDING.has(phase) ? rank(token) : "";
  const ending = phase === "unsure of the end" ? end[0] : "";
  return `${policy[0]}${number}${held}${Number(isLate)}${Number(canAskAgain)}${ending}`;
}
