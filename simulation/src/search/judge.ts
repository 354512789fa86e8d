import type { ClaimOutcome } from "@idemkit/engine";
import { type Facts, LEASE_MS, type Message, type State } from "./state.ts";

/** What becomes of the facts by a step of the store, and the invariant that it broke, if it did. */
export interface Judged {
  readonly facts: Facts;
  readonly broken: string | undefined;
}

// Everything here goes by what the store has answered so far, and by nothing that it stores: a rule
// that spoils the record must not blind its judge.

/** Judges the answer to a claim. */
export function judgeClaim(
  { facts, nowMs }: State,
  caller: number,
  takeOver: boolean,
  answer: ClaimOutcome,
): Judged {
  const isOwn = facts.holder === caller;
  const isOpen = facts.status === "claimed";
  const isRunning = isOpen && facts.leaseEndsAt > nowMs;
  const told = (broken?: string): Judged => ({ facts, broken });
  switch (answer.outcome) {
    case "claimed": {
      if (isOpen && isOwn) {
        const again = { ...facts, leaseEndsAt: nowMs + LEASE_MS };
        return { facts: again, broken: answer.token === facts.token ? undefined : "I6" };
      }
      const granted: Facts = {
        ...facts,
        status: "claimed",
        holder: caller,
        token: answer.token,
        tokenMax: Math.max(facts.tokenMax, answer.token),
        attempt: answer.attempt,
        leaseEndsAt: nowMs + LEASE_MS,
        hasRun: false,
        body: undefined,
      };
      return { facts: granted, broken: wrongWithGrant(facts, isOwn, isRunning, takeOver, answer) };
    }
    case "lapsed":
      if (isOwn && isOpen) return told("I9");
      return told(isOpen && !isRunning ? undefined : "I10");
    case "in-progress":
      if (facts.status === "released") return told(isOwn ? undefined : "I9");
      return told(isRunning && !isOwn ? undefined : "I9");
    case "completed": {
      const isThere = facts.status === answer.status && facts.body === answer.body;
      return told(isThere ? undefined : "I7");
    }
  }
}

function wrongWithGrant(
  facts: Facts,
  isOwn: boolean,
  isRunning: boolean,
  takeOver: boolean,
  answer: Extract<ClaimOutcome, { outcome: "claimed" }>,
): string | undefined {
  const { status } = facts;
  const isTakeOver = status === "claimed";
  if (status === "unknown" || isRunning || (isTakeOver && !takeOver)) return "I10";
  if (status === "succeeded") return isOwn ? "I12" : "I4";
  if (status === "released" && isOwn) return "I12";
  const isCounted = answer.attempt === (status === "absent" ? 1 : facts.attempt + 1);
  if (isTakeOver !== answer.takenOver || !isCounted) return "I10";
  return answer.token > facts.tokenMax ? undefined : "I6";
}

/** Judges the answer to an end, a renewal or an operator's decision. */
export function judgeWrite({ facts, nowMs }: State, message: Message, answer: boolean): Judged {
  const { operation, caller, token } = message;
  const isHolder = facts.holder === caller && facts.token === token;
  const isRunning = facts.status === "claimed" && facts.leaseEndsAt > nowMs;
  const isOpen = facts.status === "claimed" || facts.status === "unknown";
  const isBarred = (operation === "settle" || operation === "drop") && isRunning;
  const mayPass = isHolder && !isBarred;
  const told = (broken?: string): Judged => ({ facts, broken });
  switch (operation) {
    case "renew":
    case "lapse": {
      const isHeld = mayPass && facts.status === "claimed";
      if (!answer) return told(isHeld ? "I9" : undefined);
      const leaseEndsAt = nowMs + (operation === "lapse" ? 0 : LEASE_MS);
      return { facts: { ...facts, leaseEndsAt }, broken: isHeld ? undefined : "I5" };
    }
    case "release":
    case "free": {
      const isStanding = mayPass && facts.status === "released";
      if (!answer) return told((mayPass && isOpen) || isStanding ? "I9" : undefined);
      if (!isHolder) return told("I5");
      if (isStanding) return told();
      // A caller decides about its own run, an operator about all there were.
      const decided = operation === "free" ? facts.openRuns : Number(facts.hasRun);
      const openRuns = facts.openRuns - decided;
      const released: Facts = { ...facts, status: "released", openRuns: 0, body: undefined };
      if (!isOpen) return { facts: released, broken: "I4" };
      return { facts: released, broken: openRuns === 0 ? undefined : "I2" };
    }
    default: {
      const body = bodyOf(message);
      const status = operation === "drop" ? "unknown" : "succeeded";
      const isStanding = mayPass && facts.body === body && facts.status === status;
      if (!answer) return told((mayPass && isOpen) || isStanding ? "I9" : undefined);
      if (!isHolder) return told("I5");
      if (isBarred) return told("I10");
      if (isStanding) return told();
      return { facts: { ...facts, status, body }, broken: isOpen ? undefined : "I3" };
    }
  }
}

/** What a completion records: each sender's is its own. */
export function bodyOf({ operation, caller }: Message): string {
  if (operation === "drop") return "";
  return operation === "settle" ? "settled" : `by ${caller}`;
}
