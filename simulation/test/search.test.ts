import { type StoredRecord, type Transition, transition } from "@idemkit/engine/model";
import { describe, expect, test } from "vitest";
import { BUDGET, type Policy, search } from "../src/search/search.ts";

const CALLERS = 4;

const mixes: Readonly<Record<string, readonly Policy[]>> = {
  "at most once": Array.from({ length: CALLERS }, () => "block"),
  "at least once": Array.from({ length: CALLERS }, () => "rerun"),
  both: Array.from({ length: CALLERS }, (_, index) => (index % 2 === 0 ? "block" : "rerun")),
};

describe(`everything that ${CALLERS} callers can bring about`, () => {
  for (const [name, policies] of Object.entries(mixes)) {
    test(`keeps every invariant: ${name}`, { timeout: 60_000 }, () => {
      const { broken, states } = search({ policies, budget: BUDGET });
      expect(broken).toBeUndefined();
      // A search that got nowhere would prove nothing.
      expect(states).toBeGreaterThan(2_000);
    });
  }
});

type Rules = (
  record: StoredRecord | undefined,
  name: string,
  given: Readonly<Record<string, unknown>>,
  nowMs: number,
) => { readonly record: StoredRecord | undefined; readonly answer: unknown };

const sound = transition as unknown as Rules;

/** Rules that are broken on purpose: the search has to find a way to a broken invariant. */
const broken: readonly (readonly [string, string, Rules])[] = [
  [
    "completions are not fenced",
    "I5",
    (record, name, given, nowMs) =>
      sound(record, name, name === "complete" ? { ...given, ...fenceOf(record) } : given, nowMs),
  ],
  [
    "the fence is the owner alone",
    "I5",
    (record, name, given, nowMs) =>
      sound(
        record,
        name,
        given && "token" in given ? { ...given, token: record?.token } : given,
        nowMs,
      ),
  ],
  [
    "leases are over too soon",
    "I10",
    (record, name, given, nowMs) =>
      sound(
        name === "claim" && record ? { ...record, leaseEndsAt: 0 } : record,
        name,
        given,
        nowMs,
      ),
  ],
  [
    "everybody may take over",
    "I10",
    (record, name, given, nowMs) => sound(record, name, { ...given, takeOver: true }, nowMs),
  ],
  [
    "tokens restart",
    "I6",
    (record, name, given, nowMs) => {
      const step = sound(record, name, given, nowMs);
      const isGrant = name === "claim" && step.record?.owner !== record?.owner;
      if (!isGrant || step.record === undefined) return step;
      const token = step.record.attempt;
      const answer = step.answer as object;
      return {
        record: { ...step.record, token },
        answer: "token" in answer ? { ...answer, token } : answer,
      };
    },
  ],
  [
    "an owner is refused because of its own claim",
    "I9",
    (record, name, given, nowMs) =>
      name === "claim" && record?.status === "claimed" && record.owner === given.owner
        ? { record, answer: { outcome: "in-progress", attempt: 1, leaseRemainingMs: 1 } }
        : sound(record, name, given, nowMs),
  ],
  [
    "what was released is granted to its own delayed claim",
    "I12",
    (record, name, given, nowMs) =>
      sound(
        name === "claim" && record?.status === "released" ? { ...record, owner: "nobody" } : record,
        name,
        given,
        nowMs,
      ),
  ],
  [
    "the last outcome wins",
    "I3",
    (record, name, given, nowMs) =>
      name === "complete" && record?.status === "succeeded"
        ? sound({ ...record, status: "claimed" }, name, { ...given, ifLapsed: false }, nowMs)
        : sound(record, name, given, nowMs),
  ],
  [
    "a purge takes unfinished work",
    "I15",
    (record, name, given, nowMs) =>
      name === "purge" ? { record: undefined, answer: true } : sound(record, name, given, nowMs),
  ],
  [
    "what was released takes an outcome",
    "I3",
    (record, name, given, nowMs) =>
      sound(
        name === "complete" && record?.status === "released"
          ? { ...record, status: "claimed" }
          : record,
        name,
        given,
        nowMs,
      ),
  ],
  [
    "a release forgets its owner",
    "I12",
    (record, name, given, nowMs) => {
      const step = sound(record, name, given, nowMs);
      if (name !== "release" || step.record === undefined) return step;
      return { ...step, record: { ...step.record, owner: "" } };
    },
  ],
  [
    "a release is not repeatable",
    "I9",
    (record, name, given, nowMs) =>
      name === "release" && record?.status === "released"
        ? { record, answer: false }
        : sound(record, name, given, nowMs),
  ],
  [
    "what was released is never granted again",
    "I9",
    (record, name, given, nowMs) =>
      name === "claim" && record?.status === "released"
        ? { record, answer: { outcome: "in-progress", attempt: 1, leaseRemainingMs: 1 } }
        : sound(record, name, given, nowMs),
  ],
  [
    "renewals are fenced by the owner alone",
    "I5",
    (record, name, given, nowMs) =>
      sound(record, name, name === "renew" ? { ...given, token: record?.token } : given, nowMs),
  ],
  [
    "a lapsed lease cannot be renewed",
    "I9",
    (record, name, given, nowMs) =>
      name === "renew" && record !== undefined && record.leaseEndsAt <= nowMs
        ? { record, answer: false }
        : sound(record, name, given, nowMs),
  ],
  [
    "leases never lapse",
    "I9",
    (record, name, given, nowMs) =>
      sound(
        name === "claim" && record ? { ...record, leaseEndsAt: nowMs + 1 } : record,
        name,
        given,
        nowMs,
      ),
  ],
  [
    "a take-over is not counted",
    "I10",
    (record, name, given, nowMs) => {
      const step = sound(record, name, given, nowMs);
      if (name !== "claim" || record?.status !== "claimed") return step;
      return { ...step, answer: { ...(step.answer as object), attempt: record.attempt } };
    },
  ],
  [
    "an unknown outcome is granted",
    "I10",
    (record, name, given, nowMs) =>
      sound(
        name === "claim" && record?.status === "unknown"
          ? { ...record, status: "claimed", leaseEndsAt: 0 }
          : record,
        name,
        given,
        nowMs,
      ),
  ],
  [
    "operators overrule leases that run",
    "I10",
    (record, name, given, nowMs) =>
      name === "complete"
        ? sound(record, name, { ...given, ifLapsed: false }, nowMs)
        : sound(record, name, given, nowMs),
  ],
];

function fenceOf(record: StoredRecord | undefined) {
  return record === undefined ? {} : { owner: record.owner, token: record.token };
}

describe("the search", () => {
  for (const [what, invariant, rules] of broken) {
    test(`finds that ${what}`, () => {
      for (const policies of Object.values(mixes)) {
        const found = search({
          policies: policies.slice(0, 3),
          budget: { ...BUDGET, faults: 2 },
          transition: rules as unknown as Transition,
        });
        if (found.broken === undefined) continue;
        expect(found.broken.invariant).toBe(invariant);
        return;
      }
      throw new Error("expected the search to find it");
    });
  }
});
