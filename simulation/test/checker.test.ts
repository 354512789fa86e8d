import type { ClaimOutcome, ClaimRequest, Completion } from "@idemkit/engine";
import { describe, expect, test } from "vitest";
import { check } from "../src/check/checker.ts";
import { INVARIANTS, type InvariantId } from "../src/check/invariants.ts";
import type { Applied, CallEvent, Event, History, Told } from "../src/history.ts";

// Histories written by hand: each breaks one invariant, and the checker has to name it.

const RECORD = "4:shop/k";
const ID = { digest: "0".repeat(32), scope: "4:shop", key: "k" };
const START_MS = 1_000_000;
const LEASE_MS = 100;
const RETENTION_MS = 2_000;
const VALUE = '{"canary":"canary-shop","payload":"content-1"}';

let storeMs = START_MS;

function call(number: number, given: Partial<CallEvent> = {}): Event {
  const process = "P1";
  const about = { process, record: RECORD, payload: "content-1", takesOver: false, how: "execute" };
  return { kind: "call", call: number, ...about, ...given };
}

function claim(
  owner: string,
  answer: Partial<ClaimOutcome>,
  given: Partial<ClaimRequest> & { readonly process?: string; readonly record?: string } = {},
): Applied {
  const { process = "P1", record = RECORD, ...request } = given;
  const times = { leaseMs: LEASE_MS, retentionMs: RETENTION_MS };
  const asked = { id: ID, owner, fingerprint: "1:f", takeOver: false, ...times, ...request };
  const about = { message: 1, process, record, storeMs } as const;
  const full = { attempt: 1, takenOver: false, createdAt: 0, ...answer } as ClaimOutcome;
  return { kind: "applied", operation: "claim", ...about, given: asked, answer: full };
}

const granted = (token: number) => ({ outcome: "claimed", token }) as const;
const takenOver = (token: number) => ({ ...granted(token), takenOver: true, attempt: 2 });

function complete(
  owner: string,
  token: number,
  answer: boolean,
  given: Partial<Completion> = {},
): Applied {
  const outcome = {
    status: "succeeded",
    body: `json:${VALUE}`,
    retentionMs: RETENTION_MS,
  } as const;
  const about = { message: 1, process: "P1", record: RECORD, storeMs } as const;
  const asked = { id: ID, owner, token, ...outcome, ...given };
  return { kind: "applied", operation: "complete", ...about, given: asked, answer };
}

function claimed(operation: "renew" | "release", owner: string, token: number, answer: boolean) {
  const about = { kind: "applied", message: 1, process: "P1", record: RECORD, storeMs } as const;
  const given = { id: ID, owner, token };
  return operation === "renew"
    ? ({ ...about, operation, given: { ...given, leaseMs: LEASE_MS }, answer } as const)
    : ({ ...about, operation, given, answer } as const);
}

const run = (number: number, token: number): Event => ({
  kind: "run",
  call: number,
  token,
  attempt: 1,
});
const ran = (number: number, said = VALUE): Event => ({
  kind: "ran",
  call: number,
  end: "complete",
  said,
});
const sent = (operation: "renew" | "complete", isEnd: boolean): Event => ({
  ...({ kind: "sent", process: "P1", message: 1, fate: "fine" } as const),
  operation,
  isEnd,
});
const told = (number: number, what: Told): Event => ({ kind: "told", call: number, told: what });
const executed = { as: "executed", value: VALUE, recorded: true } as const;
const refused = (code: string, message = "") => ({ as: "error", code, message }) as const;

/** Events in order; a number lets so much time pass on the store's clock. */
function history(make: () => readonly (Event | (() => Event))[]): History {
  storeMs = START_MS;
  const happenings = make().map((event, index) => ({
    atMs: index,
    event: typeof event === "function" ? event() : event,
  }));
  return { terms: { areClocksTrue: true, areRequestsBounded: true, closeBoundMs: 2 }, happenings };
}

/** What follows happens so much later on the store's clock. */
function later(ms: number, make: () => Event): () => Event {
  return () => {
    storeMs += ms;
    return make();
  };
}

const soundRun = () => [call(1), claim("a", granted(5)), run(1, 5), ran(1), complete("a", 5, true)];

const failed = { status: "failed", body: 'error:{"message":"no"}' } as const;
const row = { run: 1, of: 1 } as const;

/** A function of call 1 that has read its signal and is aborted, under the claim of owner a. */
const abortedRun = (given: Partial<CallEvent> = {}): Event[] => [
  call(1, { isAtMostOnce: true, ...given }),
  claim("a", granted(5)),
  run(1, 5),
  { kind: "listens", call: 1 },
  { kind: "aborted", call: 1, reason: "ENGINE_CLOSED" },
];
const step = (number: number, as: "asked" | "begun" | "returned" | "threw" | "refused"): Event => ({
  ...({ kind: "step", call: number, step: "s1", as } as const),
  ...(as === "refused" && { code: "OUTCOME_UNKNOWN" }),
});
const threw = (number: number, end: "fail" | "release"): Event => ({
  ...{ kind: "ran", call: number, end, said: "no" },
});
const booked = (token: number, name = "s1"): Event => ({
  ...{ kind: "booked", record: RECORD, step: name, call: 1, token },
});
const commits = (
  rows: readonly { readonly run: number; readonly of: number }[],
  applied: readonly Applied[],
): Event => ({ kind: "committed", process: "P1", call: 1, rows, applied });
const asks = (number: number, token: number): Event => ({
  ...{ kind: "asks", call: number, step: "s1", token },
});

const bad: readonly (readonly [InvariantId, string, () => readonly (Event | (() => Event))[]])[] = [
  [
    "I1",
    "rows are committed without their outcome",
    () => [call(1, { how: "transaction" }), commits([row], [claim("a", granted(5))])],
  ],
  [
    "I1",
    "an outcome is committed without its rows",
    () => [
      call(1, { how: "transaction" }),
      { kind: "worked", call: 1, hasThrown: false, said: '{"run":1}' },
      commits([], [claim("a", granted(5)), complete("a", 5, true, { body: 'json:{"run":1}' })]),
    ],
  ],
  [
    "I1",
    "an outcome is committed with the rows of another run",
    () => [
      call(1, { how: "transaction" }),
      { kind: "worked", call: 1, hasThrown: false, said: '{"run":2}' },
      commits([row], [claim("a", granted(5)), complete("a", 5, true, { body: 'json:{"run":2}' })]),
    ],
  ],
  [
    "I1",
    "a failure is committed with rows",
    () => [
      call(1, { how: "transaction" }),
      { kind: "worked", call: 1, hasThrown: true, said: "no" },
      commits([row], [claim("a", granted(5)), complete("a", 5, true, failed)]),
    ],
  ],
  ["I2", "a function runs without a claim", () => [call(1), run(1, 5)]],
  [
    "I2",
    "a transaction takes over what may have run",
    () => [
      call(1, { how: "transaction" }),
      call(2),
      claim("a", granted(5)),
      run(2, 5),
      later(LEASE_MS, () => commits([], [claim("b", takenOver(6), { takeOver: true })])),
    ],
  ],
  [
    "I2",
    "a function runs under the claim of another process",
    () => [call(1), claim("a", granted(5), { process: "P2" }), run(1, 5)],
  ],
  [
    "I2",
    "at-most-once runs again after a release that nobody decided",
    () => [call(1), claim("a", granted(5)), run(1, 5), claimed("release", "a", 5, true)],
  ],
  [
    "I2",
    "at-most-once runs while an earlier run is open",
    () => [
      call(1, { takesOver: true }),
      claim("a", granted(5)),
      run(1, 5),
      call(2),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
      run(2, 6),
    ],
  ],
  [
    "I3",
    "a second outcome is recorded",
    () => [...soundRun(), complete("a", 5, true, { body: "json:2" })],
  ],
  [
    "I3",
    "a late owner is told that its outcome is the one that an operator recorded",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      later(LEASE_MS, () => complete("a", 5, true, { body: "json:1", note: "ops" })),
      complete("a", 5, true),
    ],
  ],
  [
    "I3",
    "another outcome is replayed than the one recorded",
    () => [
      ...soundRun(),
      claim("b", { outcome: "completed", status: "succeeded", body: "json:9" } as ClaimOutcome),
    ],
  ],
  ["I4", "what has its outcome is granted", () => [...soundRun(), claim("b", granted(6))]],
  ["I5", "a stranger completes", () => [call(1), claim("a", granted(5)), complete("b", 5, true)]],
  [
    "I5",
    "an owner completes under the token of an earlier hold",
    () => [call(1), claim("a", granted(5)), complete("a", 4, true)],
  ],
  [
    "I5",
    "a late owner renews the claim of its successor",
    () => [
      claim("a", granted(5)),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
      claimed("renew", "a", 5, true),
    ],
  ],
  [
    "I5",
    "a late owner releases the claim of its successor",
    () => [
      claim("a", granted(5)),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
      claimed("release", "a", 5, true),
    ],
  ],
  [
    "I6",
    "a token comes again after a purge",
    () => [
      ...soundRun(),
      later(RETENTION_MS, () => ({ kind: "purged", limit: 1, records: [RECORD], storeMs })),
      () => claim("b", granted(5)),
    ],
  ],
  [
    "I6",
    "a claim asked for again has another token",
    () => [claim("a", granted(5)), claim("a", granted(6))],
  ],
  [
    "I7",
    "a caller is told that its outcome is recorded, and it is not",
    () => [call(1), claim("a", granted(5)), run(1, 5), ran(1), told(1, executed)],
  ],
  [
    "I7",
    "a duplicate is given what was never recorded",
    () => [...soundRun(), call(2), told(2, { as: "replayed", value: "7", token: 5 })],
  ],
  [
    "I7",
    "a failure is replayed that was never recorded",
    () => [
      ...soundRun(),
      call(2),
      told(2, { ...refused("REPLAYED_FAILURE"), token: 5, cause: "no" }),
    ],
  ],
  [
    "I7",
    "an operator is told that a decision stands, and it does not",
    () => [call(1, { how: "settle as failed" }), told(1, { as: "done" })],
  ],
  [
    "I7",
    "an outcome is called unknown that nobody doubts",
    () => [...soundRun(), call(2), told(2, refused("OUTCOME_UNKNOWN"))],
  ],
  [
    "I7",
    "an operator is told that a key is free, and it is not",
    () => [call(1, { how: "settle as released" }), claim("a", granted(5)), told(1, { as: "done" })],
  ],
  [
    "I7",
    "an operator is told that a record is gone, and it is not",
    () => [
      call(1, { how: "remove" }),
      claim("a", granted(5)),
      told(1, { as: "done", answer: true }),
    ],
  ],
  [
    "I8",
    "a caller is shown the result of another scope",
    () => [
      ...soundRun(),
      call(2, { record: "5:other/k" }),
      told(2, { as: "replayed", value: VALUE, token: 5 }),
    ],
  ],
  [
    "I8",
    "an error message quotes a stored row",
    () => [call(1), told(1, refused("STORE_FAILED", "row of canary-shop"))],
  ],
  [
    "I8",
    "an event quotes a stored row",
    () => [{ kind: "heard", process: "P1", name: "store-error", text: "store-error canary-shop" }],
  ],
  [
    "I9",
    "an owner is refused because of its own claim",
    () => [claim("a", granted(5)), claim("a", { outcome: "in-progress", leaseRemainingMs: 9 })],
  ],
  [
    "I9",
    "a call that asks again under another name meets itself",
    () => [
      call(1),
      { kind: "owner", process: "P1", owner: "a" },
      claim("a", granted(5)),
      { kind: "owner", process: "P1", owner: "b" },
      claim("b", { outcome: "in-progress", leaseRemainingMs: 9 }),
    ],
  ],
  [
    "I9",
    "a holder is told that it lost, though nobody touched its claim",
    () => [call(1), claim("a", granted(5)), run(1, 5), ran(1), told(1, refused("LEASE_LOST"))],
  ],
  [
    "I9",
    "an owner is refused because of its own completion",
    () => [...soundRun(), complete("a", 5, false)],
  ],
  [
    "I9",
    "a conflict is reported where contents never differed",
    () => [call(1), told(1, refused("PAYLOAD_CONFLICT"))],
  ],
  [
    "I9",
    "a call is told to wait longer than the lease runs",
    () => [
      claim("a", granted(5)),
      claim("b", { outcome: "in-progress", leaseRemainingMs: LEASE_MS + 1 }),
    ],
  ],
  [
    "I9",
    "a call is refused because of a holder that nobody met",
    () => [call(1), told(1, refused("IN_PROGRESS"))],
  ],
  [
    "I9",
    "a store is called down where nothing goes wrong",
    () => [call(1), told(1, refused("STORE_FAILED"))],
  ],
  [
    "I9",
    "an outcome is called lost where nothing goes wrong",
    () => [...soundRun(), told(1, { ...executed, recorded: false })],
  ],
  [
    "I9",
    "an outcome is called unknown where nothing ran and nothing goes wrong",
    () => [
      claim("a", granted(5)),
      call(1),
      later(LEASE_MS, () => claim("b", { outcome: "lapsed" } as ClaimOutcome)),
      told(1, { ...refused("OUTCOME_UNKNOWN"), token: 5 }),
    ],
  ],
  [
    "I10",
    "a function is told another attempt than it is",
    () => [call(1), claim("a", { ...granted(5), attempt: 2 }), run(1, 5)],
  ],
  [
    "I10",
    "a claim is taken over before its lease is over",
    () => [
      claim("a", granted(5)),
      later(LEASE_MS - 1, () => claim("b", takenOver(6), { takeOver: true })),
    ],
  ],
  [
    "I10",
    "a claim is taken over by one who may not",
    () => [claim("a", granted(5)), later(LEASE_MS, () => claim("b", takenOver(6)))],
  ],
  [
    "I10",
    "a call that has ended takes over",
    () => [
      claim("a", granted(5)),
      call(1),
      { kind: "owner", process: "P1", owner: "b" },
      told(1, refused("STORE_FAILED")),
      { kind: "sent", process: "P1", message: 1, operation: "claim", isEnd: false, fate: "late" },
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
    ],
  ],
  [
    "I10",
    "an operator who may overrule decides otherwise",
    () => [
      call(1, { how: "settle as failed", overrules: "failed" }),
      claim("a", granted(5)),
      complete("a", 5, true, { note: "ops" }),
    ],
  ],
  [
    "I10",
    "an unknown outcome is granted",
    () => [
      claim("a", granted(5)),
      complete("a", 5, true, { status: "unknown" }),
      claim("b", granted(6)),
    ],
  ],
  [
    "I10",
    "an operator overrules a lease that runs",
    () => [claim("a", granted(5)), complete("a", 5, true, { note: "ops" })],
  ],
  [
    "I10",
    "the lease of a running function ends where nothing goes wrong",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      later(LEASE_MS, () => claim("b", { outcome: "lapsed" } as ClaimOutcome)),
    ],
  ],
  [
    "I11",
    "two functions run under one claim",
    () => [call(1), call(2), claim("a", granted(5)), run(1, 5), run(2, 5)],
  ],
  [
    "I12",
    "a claim is granted again after its own release",
    () => [claim("a", granted(5)), claimed("release", "a", 5, true), claim("a", granted(6))],
  ],
  [
    "I12",
    "a claim is renewed after it was given up",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      threw(1, "fail"),
      {
        ...claimed("renew", "a", 5, true),
        given: { id: ID, owner: "a", token: 5, leaseMs: 0 },
      } as Applied,
      { ...claimed("renew", "a", 5, true), message: 2 },
    ],
  ],
  [
    "I13",
    "a call that is refused has run its function",
    () => [call(1), claim("a", granted(5)), run(1, 5), told(1, refused("IN_PROGRESS"))],
  ],
  [
    "I13",
    "a caller with another content is shown the outcome",
    () => [
      ...soundRun(),
      call(2, { payload: "content-2" }),
      told(2, { as: "replayed", value: VALUE, token: 5 }),
    ],
  ],
  [
    "I13",
    "a function runs under a claim for another content",
    () => [
      ...soundRun(),
      later(RETENTION_MS, () => call(2, { payload: "content-2" })),
      () => claim("b", granted(6)),
      run(2, 6),
    ],
  ],
  [
    "I13",
    "a caller with another content is told that the outcome is unknown",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      call(2, { payload: "content-2" }),
      later(LEASE_MS, () => claim("b", { outcome: "lapsed" } as ClaimOutcome)),
      told(2, { ...refused("OUTCOME_UNKNOWN"), token: 5 }),
    ],
  ],
  [
    "I13",
    "a caller with another content is told that a call is in progress",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      call(2, { payload: "content-2", process: "P2" }),
      claim("b", { outcome: "in-progress", leaseRemainingMs: LEASE_MS }),
      told(2, refused("IN_PROGRESS")),
    ],
  ],
  [
    "I14",
    "a call ends with what no caller can expect",
    () => [call(1), told(1, { as: "fault", what: "TypeError" })],
  ],
  [
    "I2",
    "a take-over that fails gives back what it took over",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      call(2, { takesOver: true }),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
      { ...run(2, 6), attempt: 2 } as Event,
      { ...ran(2), end: "release" } as Event,
      claimed("release", "b", 6, true),
    ],
  ],
  ["I14", "a call is ended for a caller who stayed", () => [call(1), told(1, { as: "aborted" })]],
  [
    "I14",
    "a call is ended by a close that never began",
    () => [call(1), told(1, refused("ENGINE_CLOSED"))],
  ],
  ["I14", "a call never ends", () => [call(1), { kind: "rest", isEndless: false, timers: 0 }]],
  [
    "I14",
    "a call ends twice",
    () => [call(1, { mayLeave: true }), ...[1, 2].map(() => told(1, { as: "aborted" }))],
  ],
  [
    "I15",
    "a purge takes what is in progress",
    () => [claim("a", granted(5)), { kind: "purged", limit: 1, records: [RECORD], storeMs }],
  ],
  [
    "I15",
    "a purge takes more than it was asked to",
    () => [
      ...soundRun(),
      later(RETENTION_MS, () => ({ kind: "purged", limit: 0, records: [RECORD], storeMs })),
    ],
  ],
  [
    "I16",
    "a closed process still renews",
    () => [
      { kind: "closed", process: "P1" },
      { kind: "fault", what: "" },
      { kind: "fault", what: "" },
      sent("renew", false),
    ],
  ],
  [
    "I16",
    "a closed process without a function still completes",
    () => [
      { kind: "closed", process: "P1" },
      { kind: "fault", what: "" },
      { kind: "fault", what: "" },
      sent("complete", true),
    ],
  ],
  ["I16", "timers are left", () => [{ kind: "rest", isEndless: false, timers: 1 }]],
  [
    "I16",
    "a call goes on after close has not waited for it",
    () => [
      call(1),
      { kind: "closing", process: "P1", graceMs: 1_000 },
      { kind: "closed", process: "P1" },
      told(1, { as: "done" }),
    ],
  ],
  [
    "F1",
    "an error after an abort is a final failure",
    () => [...abortedRun(), threw(1, "fail"), complete("a", 5, true, failed)],
  ],
  [
    "F1",
    "an error with a step in doubt is a final failure",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      step(1, "refused"),
      threw(1, "fail"),
      complete("a", 5, true, failed),
    ],
  ],
  [
    "F1",
    "a result is recorded with a step in doubt",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      step(1, "refused"),
      ran(1),
      complete("a", 5, true),
    ],
  ],
  [
    "F1",
    "an error is a final failure although a step threw after the abort",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      step(1, "begun"),
      {
        ...{ kind: "heard", process: "P1", name: "aborted", text: "" },
        record: RECORD,
        token: 5,
      },
      step(1, "threw"),
      threw(1, "fail"),
      complete("a", 5, true, failed),
    ],
  ],
  [
    "F1",
    "an outcome is recorded while a step goes on",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      step(1, "begun"),
      threw(1, "fail"),
      complete("a", 5, true, failed),
    ],
  ],
  [
    "F1",
    "a failure is recorded where no function has thrown",
    () => [call(1), claim("a", granted(5)), run(1, 5), ran(1), complete("a", 5, true, failed)],
  ],
  [
    "F1",
    "an outcome is recorded where nothing ran",
    () => [call(1), claim("a", granted(5)), complete("a", 5, true)],
  ],
  [
    "F2",
    "a claim is released after an abort",
    () => [...abortedRun(), threw(1, "release"), claimed("release", "a", 5, true)],
  ],
  ["F3", "a step is booked twice", () => [call(1), claim("a", granted(5)), booked(5), booked(5)]],
  [
    "F3",
    "a step is booked again although the provider has said that it did not happen",
    () => [
      call(1),
      claim("a", granted(5)),
      booked(5),
      call(2),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
      { kind: "found", call: 2, step: "s1", token: 6, finding: "did-not-happen" },
      booked(6),
    ],
  ],
  [
    "F4",
    "a claim of at-least-once is released after an abort",
    () => [
      ...abortedRun({ isAtMostOnce: false }),
      threw(1, "release"),
      claimed("release", "a", 5, true),
    ],
  ],
  [
    "F4",
    "a claim lapses at once after an abort",
    () => [
      ...abortedRun(),
      threw(1, "fail"),
      {
        ...claimed("renew", "a", 5, true),
        given: { id: ID, owner: "a", token: 5, leaseMs: 0 },
      } as Applied,
    ],
  ],
  [
    "F4",
    "a lease is shortened after an abort",
    () => [
      ...abortedRun(),
      {
        ...claimed("renew", "a", 5, true),
        given: { id: ID, owner: "a", token: 5, leaseMs: 20 },
      } as Applied,
    ],
  ],
  [
    "F4",
    "a run that is too long is renewed",
    () => [
      call(1, { maxRunMs: 1 }),
      claim("a", granted(5)),
      run(1, 5),
      step(1, "asked"),
      step(1, "asked"),
      step(1, "asked"),
      later(LEASE_MS / 2, () => claimed("renew", "a", 5, true)),
    ],
  ],
  ["F4", "a step begins after an abort", () => [...abortedRun(), step(1, "begun")]],
  [
    "F5",
    "a provider is asked before the lease has been over for long enough",
    () => [
      call(1),
      claim("a", granted(5)),
      call(2, { settleAfterMs: 50 }),
      later(LEASE_MS + 40, () => claim("b", takenOver(6), { takeOver: true })),
      asks(2, 6),
    ],
  ],
  [
    "F6",
    "the lease of a run is over and its signal is not aborted",
    () => [
      call(1),
      claim("a", granted(5)),
      run(1, 5),
      later(LEASE_MS, () => claim("b", takenOver(6), { takeOver: true })),
    ],
  ],
  [
    "L1",
    "a key stays in progress for ever",
    () => [{ kind: "last word", record: RECORD, told: "IN_PROGRESS", isListed: false }],
  ],
  [
    "L1",
    "a key is unknown, and no list shows it",
    () => [{ kind: "last word", record: RECORD, told: "OUTCOME_UNKNOWN", isListed: false }],
  ],
  [
    "C1",
    "a checkpoint goes back",
    () => [
      claim("a", granted(5)),
      {
        ...claimed("renew", "a", 5, true),
        given: { id: ID, owner: "a", token: 5, leaseMs: 1, checkpoint: { revision: 3, value: "" } },
      } as Applied,
      claim("a", { ...granted(5), checkpoint: { revision: 2, value: "" } }),
    ],
  ],
];

describe("the checker", () => {
  for (const [invariant, what, make] of bad) {
    test(`names ${invariant} where ${what}`, () => {
      expect(check(history(make)).map((violation) => violation.invariant)).toContain(invariant);
    });
  }

  test("has a bad history for every invariant", () => {
    expect(new Set(bad.map(([invariant]) => invariant))).toEqual(new Set(Object.keys(INVARIANTS)));
  });

  test("finds nothing in a call, its replay, a take-over after the lease, and a purge when due", () => {
    const replay = { as: "replayed", value: VALUE, token: 5 } as const;
    const outcome = { outcome: "completed", status: "succeeded", body: `json:${VALUE}` } as const;
    const sound = history(() => [
      ...soundRun(),
      told(1, executed),
      call(2),
      claim("b", outcome as ClaimOutcome),
      told(2, replay),
      later(RETENTION_MS, () => ({ kind: "purged", limit: 1, records: [RECORD], storeMs })),
      () => claim("c", granted(6)),
      later(LEASE_MS, () => claim("d", takenOver(7), { takeOver: true })),
      () => claimed("renew", "c", 6, false),
      { kind: "rest", isEndless: false, timers: 0 },
    ]);
    expect(check(sound)).toEqual([]);
  });
});
