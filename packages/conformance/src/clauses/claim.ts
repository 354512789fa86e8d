import assert from "node:assert/strict";
import {
  assertAbout,
  clause,
  LEASE_MS,
  newOwner,
  RETENTION_MS,
  type Subject,
  TOLERANCE_MS,
} from "../bench.ts";
import { KEYS, SCOPE } from "../texts.ts";

export const claimClauses = [
  clause("claim.absent", "a claim of an absent record is granted as attempt 1", async (bench) => {
    const subject = bench.subject();
    const { attempt, takenOver, checkpoint } = await subject.claimed({ checkpoint: "start" });
    assert.equal(attempt, 1);
    assert.equal(takenOver, false);
    assert.deepEqual(checkpoint, { revision: 0, value: "start" });
    const other = await bench.subject().claimed({ takeOver: true });
    assert.deepEqual([other.takenOver, other.attempt, other.checkpoint], [false, 1, undefined]);
  }),

  clause("claim.same-owner", "an owner that asks again gets the same claim", async (bench) => {
    const subject = bench.subject();
    await subject.claimed();
    await bench.elapse(LEASE_MS);
    const owner = newOwner();
    const first = await subject.claimed({ owner, takeOver: true });
    await bench.elapse(LEASE_MS / 2);
    const { createdAt } = await subject.view();
    const again = await subject.through(bench.second).claimed({ owner });
    assert.deepEqual(again, { ...first, createdAt });
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS, "lease in progress");
    await bench.elapse(2 * LEASE_MS);
    const { token, attempt, takenOver } = await subject.claimed({ owner });
    assert.deepEqual([token, attempt, takenOver], [first.token, first.attempt, first.takenOver]);
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS, "lease once lapsed");
    await subject.claimed({ owner, leaseMs: LEASE_MS / 3 });
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS / 3, "a shorter lease");
  }),

  clause("claim.in-progress", "a running claim refuses everybody else", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed({ fingerprint: "first" });
    for (const takeOver of [false, true]) {
      for (const fingerprint of ["first", "other"]) {
        const outcome = await subject.through(bench.second).claim({ takeOver, fingerprint });
        assert.ok(outcome.outcome === "in-progress", `expected in-progress: ${outcome.outcome}`);
        assert.equal(outcome.fingerprint, "first");
        assert.equal(outcome.attempt, 1);
        assertAbout(outcome.leaseRemainingMs, LEASE_MS, "leaseRemainingMs");
      }
    }
    assert.equal((await subject.view()).owner, owner);
  }),

  clause("claim.lease-holds", "no claim is taken over before its lease is over", async (bench) => {
    const subject = bench.subject();
    await subject.claimed({ leaseMs: 2 * TOLERANCE_MS });
    await bench.elapse(TOLERANCE_MS);
    const early = await subject.through(bench.second).claim({ takeOver: true });
    assert.equal(early.outcome, "in-progress");
    assert.equal((await subject.view()).state, "in-progress");
    await bench.elapse(TOLERANCE_MS);
    assert.equal((await subject.view()).state, "lapsed");
    const late = await subject.through(bench.second).claim({ takeOver: true });
    assert.equal(late.outcome, "claimed");
  }),

  clause(
    "claim.lapsed",
    "a lapsed claim is reported to those who may not take over",
    async (bench) => {
      const subject = bench.subject();
      const first = await subject.claimed({ fingerprint: "first", checkpoint: "half" });
      await bench.elapse(3 * LEASE_MS);
      const expected = {
        outcome: "lapsed",
        fingerprint: "first",
        attempt: 1,
        token: first.token,
        checkpoint: { revision: 0, value: "half" },
      };
      const before = await subject.view();
      assert.deepEqual(await subject.claim({ fingerprint: "first" }), expected);
      assert.deepEqual(await subject.claim({ fingerprint: "other", takeOver: true }), expected);
      const after = await subject.view();
      assert.deepEqual(
        { ...after, leaseRemainingMs: 0 },
        { ...before, leaseRemainingMs: 0 },
        "expected nothing to be written",
      );
      assertAbout(after.leaseRemainingMs, -2 * LEASE_MS, "leaseRemainingMs");
      assert.equal(await subject.complete(first.owner), true, "the late owner may still complete");
    },
  ),

  clause("claim.take-over", "a lapsed claim is taken over under a new token", async (bench) => {
    const subject = bench.subject();
    const first = await subject.claimed({ checkpoint: "half" });
    await bench.elapse(LEASE_MS);
    const { createdAt } = await subject.view();
    const second = await subject
      .through(bench.second)
      .claimed({ takeOver: true, checkpoint: "new" });
    assert.ok(second.token > first.token, "expected a greater token");
    assert.equal(second.attempt, 2);
    assert.equal(second.takenOver, true);
    assert.deepEqual(second.checkpoint, { revision: 0, value: "half" });
    assert.equal(second.createdAt, createdAt, "the record's life goes on");
    assert.equal(await subject.renew(first.owner), false);
    assert.equal(await subject.complete(first.owner), false);
    assert.equal(await subject.release(first.owner), false);
    const view = await subject.view();
    assert.equal(view.owner, second.owner);
    assertAbout(view.leaseRemainingMs, LEASE_MS, "leaseRemainingMs");
  }),

  clause("claim.completed", "an outcome is answered to whoever asks", async (bench) => {
    for (const status of ["succeeded", "failed"] as const) {
      const subject = bench.subject();
      const { owner, token, createdAt } = await subject.claimed({ fingerprint: "first" });
      await subject.complete(owner, { status, body: "first body" });
      for (const fingerprint of ["first", "other"]) {
        const again = await subject.through(bench.second).claim({ fingerprint, takeOver: true });
        assert.ok(again.outcome === "completed", `expected completed: ${again.outcome}`);
        const { ageMs, completedAt, expiresAt, ...rest } = again;
        assert.deepEqual(rest, {
          outcome: "completed",
          status,
          fingerprint: "first",
          body: "first body",
          owner,
          token,
          attempt: 1,
          createdAt,
        });
        assertAbout(ageMs, 0, "ageMs");
        assertAbout(completedAt, createdAt, "completedAt");
        assertAbout(expiresAt, createdAt + RETENTION_MS, "expiresAt");
      }
    }
  }),

  clause("claim.completed-owner", "an owner finds its own outcome", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    for (const status of ["unknown", "succeeded"] as const) {
      await subject.complete(owner, { status });
      const again = await subject.claim({ owner, takeOver: true });
      assert.ok(again.outcome === "completed", `expected completed: ${again.outcome}`);
      assert.deepEqual([again.owner, again.status], [owner, status]);
    }
  }),

  clause("claim.unknown", "an unknown outcome stays, whatever time passes", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    assert.equal(await subject.complete(owner, { status: "unknown", body: "evidence" }), true);
    for (const passedMs of [0, LEASE_MS, 2 * RETENTION_MS]) {
      await bench.elapse(passedMs);
      const outcome = await subject.claim({ takeOver: true });
      assert.ok(outcome.outcome === "completed", `expected completed: ${outcome.outcome}`);
      assert.equal(outcome.status, "unknown");
      assert.equal(outcome.body, "evidence");
    }
  }),

  clause("claim.open-stays", "unfinished work is never forgotten by time", async (bench) => {
    const [claimed, takenOver] = bench.subjects(2) as [Subject, Subject];
    await claimed.claimed();
    await takenOver.claimed();
    await bench.elapse(LEASE_MS);
    await takenOver.claimed({ takeOver: true });
    await bench.elapse(2 * RETENTION_MS);
    for (const subject of [claimed, takenOver]) {
      assert.equal((await subject.claim()).outcome, "lapsed");
      assert.equal((await subject.view()).state, "lapsed");
    }
  }),

  clause("claim.released", "a released record is claimed as the next attempt", async (bench) => {
    const subject = bench.subject();
    const first = await subject.claimed({ fingerprint: "first" });
    await subject.release(first.owner);
    await bench.elapse(2 * TOLERANCE_MS);
    const before = await subject.view();
    const second = await subject.through(bench.second).claimed({ fingerprint: "other" });
    assert.equal(second.attempt, 2);
    assert.equal(second.takenOver, false);
    assert.ok(second.token > first.token, "expected a greater token");
    const apartMs = second.createdAt - before.createdAt;
    assertAbout(apartMs, 2 * TOLERANCE_MS, "createdAt is that of the new life, later by");
    assert.equal((await subject.view()).fingerprint, "other");
    assert.equal(await subject.complete(first.owner), false);
  }),

  clause(
    "claim.released-checkpoint",
    "a released checkpoint goes on with the same content only",
    async (bench) => {
      const subject = bench.subject();
      const first = await subject.claimed({ fingerprint: "first", checkpoint: "half" });
      await subject.release(first.owner);
      assert.deepEqual(await subject.claim({ fingerprint: "other", takeOver: true }), {
        outcome: "in-progress",
        fingerprint: "first",
        attempt: 1,
        leaseRemainingMs: 0,
      });
      const second = await subject.claimed({ fingerprint: "first", checkpoint: "new" });
      assert.deepEqual(second.checkpoint, { revision: 0, value: "half" });
    },
  ),

  clause(
    "claim.released-owner",
    "a delayed duplicate of a released claim revives nothing",
    async (bench) => {
      for (const note of [undefined, "given up"]) {
        const subject = bench.subject();
        const { owner } = await subject.claimed();
        if (note !== undefined) await subject.complete(owner, { status: "unknown", note });
        await subject.release(owner);
        const before = await subject.view();
        const outcome = await subject.claim({ owner, takeOver: true });
        assert.ok(outcome.outcome === "in-progress", `expected in-progress: ${outcome.outcome}`);
        assert.equal(outcome.leaseRemainingMs, 0);
        assert.deepEqual(await subject.view(), before);
      }
    },
  ),

  clause("claim.expired", "an expired record is absent: its key is new", async (bench) => {
    for (const ending of ["succeeded", "failed", "released"] as const) {
      for (const isSameOwner of [false, true]) {
        const subject = bench.subject();
        const first = await subject.claimed({ checkpoint: "old" });
        if (ending === "released") await subject.release(first.owner);
        else await subject.complete(first.owner, { status: ending });
        await bench.elapse(RETENTION_MS);
        assert.equal(await subject.read(), undefined, `${ending}: expected to read nothing`);
        const owner = isSameOwner ? first.owner : newOwner();
        const second = await subject.claimed({ owner, fingerprint: "other" });
        assert.deepEqual([second.attempt, second.checkpoint], [1, undefined]);
        assert.ok(second.token > first.token, "expected a greater token");
        assert.equal((await subject.view()).fingerprint, "other");
        assert.equal(await subject.complete(first.owner, { token: first.token }), false);
      }
    }
  }),

  clause(
    "claim.replay-writes-nothing",
    "asking for an outcome does not renew it",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await subject.complete(owner);
      const before = await subject.view();
      await subject.claim({ retentionMs: 10 * RETENTION_MS });
      assert.deepEqual(await subject.view(), before);
      await bench.elapse(RETENTION_MS);
      assert.equal((await subject.claim()).outcome, "claimed");
    },
  ),

  clause("claim.digest", "the digest alone identifies a record", async (bench) => {
    const labels = { scope: "6:tenant", key: "same key" };
    const [one, two] = [bench.subject(labels), bench.subject(labels)];
    await one.claimed();
    assert.equal((await two.claim()).outcome, "claimed", "other digest, same labels");
    const id = { ...one.id, scope: "5:other", key: "other key" };
    const again = await bench.first.claim([one.request({ id })]);
    assert.equal(again[0]?.outcome, "in-progress", "same digest, other labels");
    assert.deepEqual((await one.view()).id, one.id, "labels are kept as they came first");
    await bench.elapse(LEASE_MS);
    const [taken] = await bench.first.claim([one.request({ id, takeOver: true })]);
    assert.equal(taken?.outcome, "claimed");
    assert.deepEqual((await one.view()).id, one.id, "by a take-over as well");
  }),

  clause("claim.labels", "labels come back as they were given", async (bench) => {
    for (const key of KEYS) {
      const subject = bench.subject({ scope: SCOPE, key });
      await subject.claimed();
      assert.deepEqual((await subject.view()).id, subject.id);
    }
  }),
];
