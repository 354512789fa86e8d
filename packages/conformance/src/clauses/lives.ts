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

/** The operations that end open work, or keep it open. */
const ENDS: Readonly<Record<string, (subject: Subject, owner: string) => Promise<boolean>>> = {
  release: (subject, owner) => subject.release(owner),
  remove: async (subject) => await subject.remove((await subject.view()).token),
  complete: (subject, owner) => subject.complete(owner, { retentionMs: RETENTION_MS }),
  hold: (subject, owner) => subject.complete(owner, { status: "unknown", body: "newer" }),
  renew: (subject, owner) => subject.renew(owner),
};

export const livesClauses = [
  clause(
    "claim.first-checkpoint",
    "a new claim brings its checkpoint, and a take-over goes on without one",
    async (bench) => {
      const [taken, released] = bench.subjects(2) as [Subject, Subject];
      await taken.claimed();
      await bench.elapse(LEASE_MS);
      const second = await taken.claimed({ takeOver: true, checkpoint: "new" });
      assert.equal(second.checkpoint, undefined);
      assert.equal((await taken.view()).checkpoint, undefined);
      await released.release((await released.claimed()).owner);
      const next = await released.claimed({ checkpoint: "new" });
      assert.deepEqual(next.checkpoint, { revision: 0, value: "new" });
      assert.deepEqual((await released.view()).checkpoint, { revision: 0, value: "new" });
    },
  ),

  clause(
    "claim.attempts",
    "every take-over and every claim after a release counts",
    async (bench) => {
      const [taken, released] = bench.subjects(2) as [Subject, Subject];
      for (let attempt = 1; attempt <= 4; attempt += 1) {
        assert.equal((await taken.claimed({ takeOver: true })).attempt, attempt);
        assert.equal((await taken.view()).attempt, attempt);
        const { owner, attempt: shown } = await released.claimed();
        assert.equal(shown, attempt);
        await released.release(owner);
        await bench.elapse(LEASE_MS);
      }
    },
  ),

  clause("claim.retention", "expiry counts from the latest claim", async (bench) => {
    const [taken, released] = bench.subjects(2) as [Subject, Subject];
    await taken.claimed();
    await released.release((await released.claimed({ retentionMs: 9 * RETENTION_MS })).owner);
    await bench.elapse(LEASE_MS);
    for (const subject of [taken, released]) {
      await subject.complete((await subject.claimed({ takeOver: true })).owner);
      const { completedAt = 0, expiresAt = 0 } = await subject.view();
      assertAbout(expiresAt - completedAt, RETENTION_MS, "from the latest claim to expiry");
    }
  }),

  clause(
    "claim.take-over-after",
    "a lapsed claim is taken over once its lease is over for long enough",
    async (bench) => {
      const subject = bench.subject();
      const { token } = await subject.claimed({ fingerprint: "first", leaseMs: 3 * LEASE_MS });
      const waiting = { fingerprint: "first", takeOver: true, takeOverAfterMs: 2 * LEASE_MS };
      const other = subject.through(bench.second);
      assert.equal((await other.claim(waiting)).outcome, "in-progress", "while the lease runs");
      await bench.elapse(3 * LEASE_MS);
      for (const overMs of [0, 2 * LEASE_MS - TOLERANCE_MS]) {
        await bench.elapse(overMs);
        const early = await other.claim(waiting);
        assert.deepEqual(early, { outcome: "lapsed", fingerprint: "first", attempt: 1, token });
        assertAbout((await subject.view()).leaseRemainingMs, -overMs, "nothing is written");
      }
      await bench.elapse(TOLERANCE_MS);
      const refused = { ...waiting, takeOver: false };
      assert.equal((await other.claim(refused)).outcome, "lapsed", "not without leave");
      const foreign = { ...waiting, fingerprint: "other" };
      assert.equal((await other.claim(foreign)).outcome, "lapsed", "not for another fingerprint");
      for (const bits of [31, 32]) {
        const long = { ...waiting, takeOverAfterMs: 2 ** bits + LEASE_MS };
        assert.equal((await other.claim(long)).outcome, "lapsed", `beyond ${bits} bits`);
      }
      const { takenOver, attempt } = await other.claimed(waiting);
      assert.deepEqual([takenOver, attempt], [true, 2]);
    },
  ),

  clause(
    "claim.take-over-at-once",
    "only a take-over waits, and only if it is asked to",
    async (bench) => {
      const [lapsed, own, released, absent] = bench.subjects(4) as [
        Subject,
        Subject,
        Subject,
        Subject,
      ];
      await lapsed.claimed();
      const { owner, token } = await own.claimed();
      await released.release((await released.claimed()).owner);
      await bench.elapse(LEASE_MS);
      assert.equal((await lapsed.claimed({ takeOver: true })).takenOver, true, "by default");
      const waiting = { takeOver: true, takeOverAfterMs: 9 * LEASE_MS };
      assert.equal((await own.claimed({ owner, ...waiting })).token, token, "an owner's own claim");
      assert.equal((await released.claimed(waiting)).attempt, 2, "a released record");
      assert.equal((await absent.claimed(waiting)).attempt, 1, "an absent record");
      await bench.elapse(LEASE_MS);
      const atOnce = { takeOver: true, takeOverAfterMs: 0 };
      assert.equal((await lapsed.claimed(atOnce)).attempt, 3, "asked to wait for nothing");
    },
  ),

  clause("claim.open-ends", "open work can be ended after its retention", async (bench) => {
    const cases = Object.entries(ENDS).flatMap(([name, end]) =>
      (name === "renew" ? ["lapsed"] : ["lapsed", "unknown"]).map((state) => {
        return { name, end, state, subject: bench.subject(), owner: newOwner() };
      }),
    );
    for (const { subject, owner, state } of cases) {
      await subject.claimed({ owner });
      if (state === "unknown") await subject.complete(owner, { status: "unknown" });
    }
    await bench.elapse(2 * RETENTION_MS);
    for (const { name, end, subject, owner, state } of cases) {
      assert.equal((await subject.view()).state, state);
      assert.equal(await end(subject, owner), true, `${name} of a record that is ${state}`);
    }
  }),

  clause("renew.keeps", "a renewal changes nothing but the lease", async (bench) => {
    const subject = bench.subject();
    await subject.claimed({ fingerprint: "print", checkpoint: "half" });
    await bench.elapse(LEASE_MS);
    const claim = await subject.claimed({ fingerprint: "print", takeOver: true });
    await bench.elapse(LEASE_MS / 2);
    const before = await subject.view();
    assert.equal(await subject.renew(claim.owner), true);
    const after = await subject.view();
    const { leaseRemainingMs } = before;
    assert.deepEqual({ ...after, leaseRemainingMs }, before);
    const { createdAt, ...again } = await subject.claimed({ owner: claim.owner });
    assert.equal(createdAt, before.createdAt);
    assert.deepEqual({ ...again, createdAt: claim.createdAt }, claim, "as it was granted");
    await subject.complete(claim.owner);
    const { completedAt = 0, expiresAt = 0 } = await subject.view();
    assertAbout(expiresAt - completedAt, RETENTION_MS - LEASE_MS / 2, "time to expiry");
  }),

  clause("release.keeps", "a release changes nothing but the state", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed({ fingerprint: "print", checkpoint: "half" });
    await bench.elapse(LEASE_MS / 2);
    const { leaseRemainingMs: _, ...before } = await subject.view();
    assert.equal(await subject.release(owner), true);
    const { expiresAt = 0, ...after } = await subject.view();
    assert.deepEqual(after, { ...before, state: "released" });
    assertAbout(expiresAt - after.createdAt, RETENTION_MS, "time from claim to expiry");
    const short = bench.subject();
    const claim = await short.claimed();
    await bench.elapse(RETENTION_MS - LEASE_MS / 3);
    await short.release(claim.owner);
    const view = await short.view();
    assertAbout((view.expiresAt ?? 0) - view.createdAt, RETENTION_MS, "shortly before expiry");
  }),

  clause("remove.keeps", "a removal keeps a record's owner, content and expiry", async (bench) => {
    for (const isCompleted of [false, true]) {
      const subject = bench.subject();
      const { owner, token } = await subject.claimed({ fingerprint: "print" });
      await bench.elapse(LEASE_MS / 2);
      if (isCompleted) await subject.complete(owner);
      const before = await subject.view();
      assert.equal(await subject.remove(token), true);
      const { expiresAt = 0, ...after } = await subject.view();
      const { id, createdAt, attempt } = before;
      const kept = { id, createdAt, attempt, owner, token, fingerprint: "print" };
      assert.deepEqual(after, { ...kept, state: "released" });
      assertAbout(expiresAt - createdAt, RETENTION_MS, "time from claim to expiry");
    }
  }),
];
