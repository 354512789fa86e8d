import assert from "node:assert/strict";
import type { ClaimOutcome } from "@idemkit/engine";
import {
  type Bench,
  claimedList,
  clause,
  LEASE_MS,
  newOwner,
  RETENTION_MS,
  type Subject,
} from "../bench.ts";
import { letClockPassTokens, purgeAll } from "./purge.ts";

const RIVALS = 24;
const ROUNDS = 8;
const PURGED = 8;

/** Lets rivals claim one record over both handles at once, and expects exactly one to get it. */
async function race(bench: Bench, subject: Subject, takeOver: boolean): Promise<string> {
  const requests = Array.from({ length: RIVALS }, () => subject.request({ takeOver }));
  const answers = await Promise.all(
    requests.map((request, index) => bench.handle(index).claim([request])),
  );
  const outcomes = answers.map(([outcome]) => outcome as ClaimOutcome);
  const winners = outcomes.filter(({ outcome }) => outcome === "claimed");
  assert.equal(winners.length, 1, `expected one winner, got ${winners.length}`);
  const losers = outcomes.filter(({ outcome }) => outcome !== "claimed");
  assert.ok(losers.every(({ outcome }) => outcome === "in-progress"));
  const winner = requests[outcomes.findIndex(({ outcome }) => outcome === "claimed")];
  assert.equal((await subject.view()).owner, winner?.owner, "the winner owns the record");
  return winner?.owner ?? "";
}

/** Runs two calls at once, by turns in either order and over either handle. */
async function both<A, B>(
  round: number,
  one: () => Promise<A>,
  other: () => Promise<B>,
): Promise<readonly [A, B]> {
  if (round % 2 === 0) return await Promise.all([one(), other()]);
  const [second, first] = await Promise.all([other(), one()]);
  return [first, second];
}

export const raceClauses = [
  clause("race.absent", "of many claims of an absent record one wins", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) await race(bench, bench.subject(), false);
  }),

  clause("race.lapsed", "of many take-overs of a lapsed claim one wins", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      const late = await subject.claimed();
      await bench.elapse(LEASE_MS);
      await race(bench, subject, true);
      assert.equal(await subject.complete(late.owner), false);
    }
  }),

  clause("race.expired", "of many claims of an expired record one wins", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      await subject.complete((await subject.claimed()).owner);
      await bench.elapse(RETENTION_MS);
      await race(bench, subject, false);
    }
  }),

  clause("race.released", "of many claims of a released record one wins", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      await subject.release((await subject.claimed()).owner);
      await race(bench, subject, false);
    }
  }),

  clause("race.completion", "a late completion or a take-over wins, never both", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await bench.elapse(LEASE_MS);
      const [isCompleted, next] = await both(
        round,
        () => subject.complete(owner),
        () => subject.through(bench.second).claim({ takeOver: true }),
      );
      assert.notEqual(isCompleted, next.outcome === "claimed", "expected exactly one to win");
      assert.equal((await subject.view()).state, isCompleted ? "completed" : "in-progress");
    }
  }),

  clause("race.settle", "an operator and a late owner: one outcome stands", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await subject.complete(owner, { status: "unknown", body: "evidence" });
      const [isLate, isSettled] = await both(
        round,
        () => subject.complete(owner, { body: "late" }),
        () => subject.through(bench.second).complete(owner, { status: "failed", body: "settled" }),
      );
      assert.notEqual(isLate, isSettled, "expected exactly one to be told true");
      assert.equal((await subject.view()).body, isLate ? "late" : "settled");
    }
  }),

  clause("race.renewal", "a late renewal or a take-over wins, never both", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await bench.elapse(LEASE_MS);
      const [isRenewed, next] = await both(
        round,
        () => subject.renew(owner),
        () => subject.through(bench.second).claim({ takeOver: true }),
      );
      // A renewal that came first and was told true is not taken over; one that was, is refused.
      assert.notEqual(isRenewed, next.outcome === "claimed", "expected exactly one to win");
    }
  }),

  clause(
    "race.purge",
    "a purge and a claim of an expired record: the claim holds",
    async (bench) => {
      // A purge has a limit: records of other clauses must not use it up.
      await purgeAll(bench.first);
      for (let round = 0; round < ROUNDS; round += 1) {
        const subjects = bench.subjects(PURGED);
        const requests = subjects.map((subject) => subject.request());
        const outcome = { status: "succeeded", body: "body" } as const;
        const old = await claimedList(bench.first, requests);
        await bench.first.complete(old.map((claim) => ({ ...claim, ...outcome })));
        await bench.elapse(RETENTION_MS, subjects);
        // Before that a purge has nothing to do, and no race is run.
        await letClockPassTokens();
        const again = requests.map((request) => ({ ...request, owner: newOwner() }));
        const [, claims] = await both(
          round,
          () => bench.second.purge(1_000),
          () => claimedList(bench.first, again),
        );
        const views = await bench.second.read(claims.map(({ id }) => id));
        assert.deepEqual(
          views.map((view) => view?.owner),
          again.map(({ owner }) => owner),
        );
        const completions = claims.map((claim) => ({ ...claim, ...outcome }));
        const all = claims.map(() => true);
        assert.deepEqual(await bench.first.complete(completions), all);
      }
    },
  ),
];
