import type { Claim, ClaimOutcome } from "@idemkit/engine";
import type { StoredRecord } from "@idemkit/engine/model";
import { ownerOf, type State } from "./state.ts";

/** The state after a step of the store, and the invariant that the step broke, if it did. */
export interface Judged {
  readonly to: State;
  readonly broken?: string;
}

/** Judges the answer to a claim by what was there before it. */
export function judgeGrant(
  state: State,
  caller: number,
  takeOver: boolean,
  record: StoredRecord | undefined,
  answer: ClaimOutcome,
): Judged {
  const before = state.record;
  const isOwn = before?.owner === ownerOf(caller);
  const isRunning = before?.status === "claimed" && before.leaseEndsAt > state.nowMs;
  const next = { ...state, record };
  switch (answer.outcome) {
    case "claimed": {
      if (before?.status === "claimed" && isOwn) {
        return answer.token === before.token ? { to: next } : { to: next, broken: "I6" };
      }
      const facts = { ...state.facts, tokenMax: answer.token, body: undefined };
      const granted = { ...next, facts };
      if (before?.status === "released" && isOwn) return { to: granted, broken: "I12" };
      if (state.facts.body !== undefined) return { to: granted, broken: isOwn ? "I12" : "I4" };
      if (isRunning) return { to: granted, broken: "I10" };
      const isTakeOver = before?.status === "claimed";
      if (isTakeOver && !takeOver) return { to: granted, broken: "I10" };
      if (isTakeOver !== answer.takenOver) return { to: granted, broken: "I10" };
      if (answer.token <= state.facts.tokenMax) return { to: granted, broken: "I6" };
      return { to: granted };
    }
    case "lapsed":
      if (isRunning) return { to: next, broken: "I10" };
      return isOwn ? { to: next, broken: "I9" } : { to: next };
    case "in-progress":
      return before?.status === "claimed" && isOwn ? { to: next, broken: "I9" } : { to: next };
    case "completed":
      return answer.body === state.facts.body ? { to: next } : { to: next, broken: "I7" };
  }
}

/** An operator decides nothing while the lease runs. */
function isBarred({ record, nowMs }: State, body: string): boolean {
  return body === "settled" && record?.status === "claimed" && record.leaseEndsAt > nowMs;
}

/** Judges the answer to a completion, whose body is given, or to a release. */
export function judgeEnd(
  state: State,
  { owner, token }: Claim,
  body: string,
  record: StoredRecord | undefined,
  answer: boolean,
): Judged {
  const before = state.record;
  const isHolder = before?.owner === owner && before.token === token;
  const next = { ...state, record };
  if (!answer) {
    const isOverruled = isBarred(state, body);
    const isRefused = isHolder && before.status === "claimed" && !isOverruled;
    const isOwnOutcome = isHolder && state.facts.body === body;
    return isRefused || isOwnOutcome ? { to: next, broken: "I9" } : { to: next };
  }
  if (!isHolder) return { to: next, broken: "I5" };
  if (isBarred(state, body)) return { to: next, broken: "I10" };
  if (body === "release") {
    const facts = { ...state.facts, openRuns: 0, body: undefined };
    const broken = state.facts.body === undefined ? undefined : "I4";
    return { to: { ...next, facts }, ...(broken !== undefined && { broken }) };
  }
  const isSecond = state.facts.body !== undefined && state.facts.body !== body;
  const facts = { ...state.facts, body };
  return { to: { ...next, facts }, ...(isSecond && { broken: "I3" }) };
}
