import assert from "node:assert/strict";
import { assertAbout, claimedList, clause, LEASE_MS } from "../bench.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

/** Each is out of reach of some way to keep a number: 31, 32 and 53 bits, and 14 digits. */
const REVISIONS = [
  2 ** 24 + 1,
  2 ** 31 + 1,
  2 ** 32 + 1,
  123_456_789_012_345,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
] as const;

export const numberClauses = [
  clause(
    "values.durations",
    "leases of a day and retentions of years are kept whole",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed({ leaseMs: DAY_MS, retentionMs: 10 * YEAR_MS });
      assertAbout((await subject.view()).leaseRemainingMs, DAY_MS, "leaseRemainingMs");
      await subject.renew(owner, { leaseMs: DAY_MS });
      assertAbout((await subject.view()).leaseRemainingMs, DAY_MS, "leaseRemainingMs, renewed");
      await subject.complete(owner);
      const { createdAt, expiresAt = 0 } = await subject.view();
      assertAbout(expiresAt - createdAt, 10 * YEAR_MS, "retention");
      // Beyond 2^31 and 2^32 milliseconds, where counters like to turn over.
      await bench.elapse(9 * YEAR_MS);
      assert.equal((await subject.claim()).outcome, "completed");
      await bench.elapse(YEAR_MS);
      assert.equal((await subject.claim()).outcome, "claimed");
    },
  ),

  clause(
    "values.completion-retention",
    "a completion's retention of years is kept whole",
    async (bench) => {
      const retentionMs = 10 * YEAR_MS;
      const outcome = { status: "succeeded", body: "body", retentionMs } as const;
      const subjects = bench.subjects(3);
      const requests = subjects.map((subject) => subject.request());
      const [alone, ...others] = await claimedList(bench.first, requests);
      assert.ok(alone !== undefined);
      assert.deepEqual(await bench.first.complete([{ ...alone, ...outcome }]), [true]);
      const completions = others.map((claim) => ({ ...claim, ...outcome }));
      assert.deepEqual(await bench.second.complete(completions), [true, true]);
      for (const subject of subjects) {
        const { completedAt, expiresAt = 0 } = await subject.view();
        assertAbout(expiresAt - (completedAt ?? 0), retentionMs, "from completion to expiry");
      }
      await bench.elapse(9 * YEAR_MS);
      const outcomes = await bench.second.claim(subjects.map((subject) => subject.request()));
      assert.deepEqual(
        outcomes.map((one) => one.outcome),
        subjects.map(() => "completed"),
      );
    },
  ),

  clause(
    "values.tokens",
    "a new record's token is the store's clock in microseconds",
    async (bench) => {
      for (const store of [bench.first, bench.second]) {
        const { token, createdAt } = await bench.subject().through(store).claimed();
        assertAbout(token / 1_000, createdAt, "token in milliseconds");
      }
    },
  ),

  clause(
    "values.revisions",
    "revisions up to the greatest safe integer are kept and compared whole",
    async (bench) => {
      const subjects = bench.subjects(2);
      const requests = subjects.map((subject) => subject.request());
      const claims = await claimedList(bench.first, requests);
      const renewed = async (revision: number, value: string) => {
        const renewals = claims.map((claim) => ({
          ...claim,
          leaseMs: LEASE_MS,
          checkpoint: { revision, value },
        }));
        // Both in a list and alone.
        assert.deepEqual(await bench.second.renew(renewals), [true, true]);
        assert.deepEqual(await bench.first.renew(renewals.slice(0, 1)), [true]);
      };
      for (const revision of REVISIONS) {
        const expected = { revision, value: `at ${revision}` };
        await renewed(revision, expected.value);
        for (const lower of [revision - 1, 7]) await renewed(lower, "of a late renewal");
        for (const subject of subjects) {
          assert.deepEqual((await subject.view()).checkpoint, expected);
        }
      }
      await bench.elapse(LEASE_MS);
      const last = { revision: Number.MAX_SAFE_INTEGER, value: `at ${Number.MAX_SAFE_INTEGER}` };
      for (const subject of subjects) {
        const { checkpoint } = await subject.through(bench.second).claimed({ takeOver: true });
        assert.deepEqual(checkpoint, last, "once taken over");
      }
    },
  ),
];
