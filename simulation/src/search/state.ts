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
  /** Whether its claim took over what is open still. */
  readonly tookOver: boolean;
  readonly end: "complete" | "release" | "lapse";
}

/** A request that nobody waits for any more, and that the store may still apply, at any time. */
export interface Message {
  /**
   * `return` claims in order to give back. An operator settles, or gives back in two steps: `drop`
   * writes the reason, and `free` releases.
   */
  readonly operation:
    | "claim"
    | "return"
    | "renew"
    | "complete"
    | "release"
    | "lapse"
    | "settle"
    | "drop"
    | "free";
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

/** What the store has answered so far comes to this, and it is judged by this. */
export interface Facts {
  readonly status: "absent" | "claimed" | "unknown" | "succeeded" | "released";
  /** Who was granted the record last, under which token, as which attempt, and for how long. */
  readonly holder: number | undefined;
  readonly token: number;
  readonly attempt: number;
  readonly leaseEndsAt: number;
  /** Whether a function has run under it. */
  readonly hasRun: boolean;
  readonly tokenMax: number;
  /** The outcome that was recorded in this life, if one was. */
  readonly body: string | undefined;
  /** Runs about which nobody has decided. */
  readonly openRuns: number;
}

export const ABSENT: Omit<Facts, "tokenMax"> = {
  status: "absent",
  holder: undefined,
  token: 0,
  attempt: 0,
  leaseEndsAt: 0,
  hasRun: false,
  body: undefined,
  openRuns: 0,
};

export interface State {
  readonly nowMs: number;
  readonly record: StoredRecord | undefined;
  readonly callers: readonly Caller[];
  readonly messages: readonly Message[];
  readonly budget: Budget;
  readonly facts: Facts;
}

export const LEASE_MS = 10;
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
    tookOver: false,
    end: "complete",
  } as const;
  return {
    nowMs: 1,
    record: undefined,
    callers: policies.map((policy) => ({ policy, ...idle })),
    messages: [],
    budget,
    facts: { ...ABSENT, tokenMax: 0 },
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
  const known = [0, record?.token ?? 0, facts.token, facts.tokenMax];
  const tokens = [...new Set([...known, ...live, ...sent])];
  tokens.sort((one, other) => one - other);
  const rank = (token: number) => tokens.indexOf(token);
  const described: string[] = [];
  for (const [index, caller] of callers.entries()) {
    let text = describe(caller, rank);
    if (record?.owner === ownerOf(index)) text += "*";
    if (facts.holder === index) text += "!";
    const own: string[] = [];
    for (const message of messages) {
      // What a late claim may do depends on who sent it, long after its sender is over.
      if (message.caller === index) {
        own.push(`${caller.policy[0]}${message.operation}${rank(message.token)}`);
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
  const { status, hasRun, openRuns, body = "" } = facts;
  const isHeld = status === "claimed" && facts.leaseEndsAt > nowMs;
  text += `|${status}${isHeld}${hasRun}${openRuns}${body[0]}`;
  return `${text}${rank(facts.token)}${rank(facts.tokenMax)}|${faults}${lapses}${operators}`;
}

function describe(caller: Caller, rank: (token: number) => number): string {
  const { policy, phase, token, isLate, canAskAgain, tookOver, end } = caller;
  if (phase === "over") return "over";
  const number = PHASES.indexOf(phase);
  const held = HOLDING.has(phase) ? rank(token) : "";
  const ending = phase === "unsure of the end" ? end[0] : "";
  const flags = [isLate, canAskAgain, tookOver].map(Number).join("");
  return `${policy[0]}${number}${held}${flags}${ending}`;
}
