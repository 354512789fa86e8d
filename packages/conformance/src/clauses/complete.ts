import assert from "node:assert/strict";
import {
  assertAbout,
  claimedList,
  clause,
  heldTwice,
  LEASE_MS,
  newOwner,
  RETENTION_MS,
  TOLERANCE_MS,
  wrongOwners,
} from "../bench.ts";
import { BODIES, GREAT_BODY, LOOKALIKES } from "../texts.ts";

export const completeClauses = [
  clause("complete.bodies", "a body comes back as it was given", async (bench) => {
    for (const [name, body] of Object.entries({ ...BODIES, "4 MiB": GREAT_BODY })) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      assert.equal(await subject.complete(owner, { body }), true, name);
      const again = await subject.through(bench.second).claim();
      assert.ok(again.outcome === "completed", `${name}: expected completed: ${again.outcome}`);
      assert.ok(again.body === body, `${name}: the body changed on its way`);
      assert.ok((await subject.view()).body === body, `${name}: the body read is another`);
    }
  }),
  clause("complete.fence", "only the owner completes", async (bench) => {
    const absent = bench.subject();
    assert.equal(await absent.complete(newOwner()), false);
    assert.equal(await absent.read(), undefined);
    const subject = bench.subject();
    const claimed = await subject.claimed();
    for (const state of ["in-progress", "lapsed", "unknown"] as const) {
      if (state === "lapsed") await bench.elapse(LEASE_MS);
      if (state === "unknown") await subject.complete(claimed.owner, { status: "unknown" });
      for (const owner of await wrongOwners(subject)) {
        assert.equal(await subject.complete(owner), false, state);
      }
      assert.equal((await subject.view()).state, state);
    }
  }),
  clause("complete.token", "what ran under an earlier hold is not recorded", async (bench) => {
    const { subject, owner, first, second } = await heldTwice(bench);
    assert.equal(await subject.complete(owner, { token: first }), false);
    assert.equal(await subject.complete(owner, { token: second + 1 }), false);
    assert.equal((await subject.view()).state, "in-progress");
    await bench.elapse(LEASE_MS);
    assert.equal(await subject.complete(owner, { token: first }), false, "nor once lapsed");
    assert.equal((await subject.view()).state, "lapsed");
    assert.equal(await subject.complete(owner, { token: second, status: "unknown" }), true);
    assert.equal(await subject.complete(owner, { token: first }), false, "nor decides the unknown");
    assert.equal(await subject.complete(owner, { token: second }), true);
    assert.equal(await subject.complete(owner, { token: first }), false, "nor called recorded");
  }),
  clause("complete.first-wins", "the first outcome stands, byte for byte", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    assert.equal(await subject.complete(owner, { body: "first", note: "note" }), true);
    const before = await subject.view();
    const others = [
      { body: "second" },
      { status: "failed", body: "first" },
      { status: "unknown", body: "first" },
    ] as const;
    for (const other of others) {
      assert.equal(await subject.complete(owner, other), false);
      assert.deepEqual(await subject.view(), before);
    }
  }),
  clause(
    "complete.repeat",
    "the same outcome again is told true and changes nothing",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await subject.complete(owner, { body: "" });
      await bench.elapse(TOLERANCE_MS);
      const before = await subject.view();
      const again = subject.through(bench.second);
      assert.equal(await again.complete(owner, { body: "", note: "late", retentionMs: 1e9 }), true);
      assert.deepEqual(await subject.view(), before);
    },
  ),
  clause(
    "complete.repeat-fence",
    "an owner that was taken over is refused, even with the same outcome",
    async (bench) => {
      const subject = bench.subject();
      const late = await subject.claimed();
      await bench.elapse(LEASE_MS);
      const { owner, token } = await subject.claimed({ takeOver: true });
      assert.equal(await subject.complete(owner, { body: "same" }), true);
      assert.equal(await subject.complete(late.owner, { body: "same" }), false);
      assert.equal(await subject.complete(late.owner, { body: "same", token }), false);
    },
  ),
  clause("complete.if-lapsed", "an operator overrules no lease that runs", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    const settled = { ifLapsed: true, body: "settled" };
    assert.equal(await subject.complete(owner, settled), false);
    assert.equal((await subject.view()).state, "in-progress");
    await bench.elapse(LEASE_MS);
    assert.equal(await subject.renew(owner), true);
    assert.equal(await subject.complete(owner, settled), false, "it was renewed in time");
    await bench.elapse(LEASE_MS);
    assert.equal(await subject.complete(owner, settled), true);
    assert.equal(await subject.complete(owner, settled), true, "safe to repeat");
    const held = bench.subject();
    const claim = await held.claimed();
    await held.complete(claim.owner, { status: "unknown" });
    assert.equal(await held.complete(claim.owner, settled), true, "no lease guards the unknown");
    const late = bench.subject();
    const last = await late.claimed({ leaseMs: 2 * TOLERANCE_MS });
    await bench.elapse(TOLERANCE_MS);
    assert.equal(await late.complete(last.owner, settled), false, "a lease runs to its end");
    await bench.elapse(TOLERANCE_MS);
    assert.equal(await late.complete(last.owner, settled), true);
  }),
  clause("complete.lapsed", "a lapsed claim can complete before a take-over", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(2 * RETENTION_MS);
    assert.equal(await subject.complete(owner, { retentionMs: RETENTION_MS }), true);
    assert.equal((await subject.view()).state, "completed");
  }),
  clause(
    "complete.unknown",
    "the owner of an unknown outcome may still decide it",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await subject.complete(owner, { status: "unknown", body: "evidence", note: "held" });
      assert.equal((await subject.view()).state, "unknown");
      assert.equal(await subject.complete(newOwner(), { body: "foreign" }), false);
      await bench.elapse(LEASE_MS);
      const decided = { status: "failed", body: "decided", note: "by an operator" } as const;
      assert.equal(await subject.through(bench.second).complete(owner, decided), true);
      const { state, status, body, note, completedAt = 0, createdAt } = await subject.view();
      assert.deepEqual({ state, status, body, note }, { state: "completed", ...decided });
      assertAbout(completedAt - createdAt, LEASE_MS, "completedAt is when it was decided");
      assert.equal(await subject.complete(owner, { body: "late" }), false);
    },
  ),
  clause("complete.expired", "what has expired is absent for its owner too", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await subject.complete(owner);
    await bench.elapse(RETENTION_MS);
    assert.equal(await subject.complete(owner), false);
  }),
  clause("complete.released", "a released claim can complete no more", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await subject.release(owner);
    assert.equal(await subject.complete(owner), false);
    assert.equal((await subject.view()).state, "released");
  }),
  clause(
    "complete.late",
    "an outcome lives for its retention, however late it comes",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await bench.elapse(2 * RETENTION_MS);
      assert.equal(await subject.complete(owner, { retentionMs: RETENTION_MS }), true);
      assert.equal(await subject.complete(owner, { retentionMs: RETENTION_MS }), true, "again");
      await bench.elapse(RETENTION_MS - TOLERANCE_MS);
      assert.equal((await subject.claim()).outcome, "completed");
      const unasked = bench.subject();
      const late = await unasked.claimed();
      await bench.elapse(2 * RETENTION_MS);
      assert.equal(await unasked.complete(late.owner), true);
      assert.equal(await unasked.read(), undefined, "its retention is over, if none is asked for");
    },
  ),

  clause(
    "complete.repeat-exact",
    "a repeated outcome is compared to its last byte, alone and in lists",
    async (bench) => {
      const subjects = bench.subjects(LOOKALIKES.length);
      const requests = subjects.map((subject) => subject.request());
      const claims = await claimedList(bench.first, requests);
      const completions = (which: 0 | 1) =>
        claims.map((claim, index) => {
          const body = LOOKALIKES[index]?.[which] ?? "";
          return { ...claim, status: "succeeded" as const, body };
        });
      const [stored, others] = [completions(0), completions(1)];
      const all = (isRecorded: boolean) => claims.map(() => isRecorded);
      assert.deepEqual(await bench.first.complete(stored), all(true));
      assert.deepEqual(await bench.second.complete(others), all(false), "others, in a list");
      assert.deepEqual(await bench.second.complete(stored), all(true), "the same, in a list");
      for (const [index, other] of others.entries()) {
        const shown = JSON.stringify(other.body.slice(0, 20));
        assert.deepEqual(await bench.first.complete([other]), [false], `${index}: ${shown} alone`);
      }
      for (const same of stored) assert.deepEqual(await bench.first.complete([same]), [true]);
    },
  ),

  clause("complete.retention", "expiry counts from the claim, or later if asked", async (bench) => {
    const cases = [
      { retentionMs: undefined, expected: RETENTION_MS },
      { retentionMs: 1, expected: RETENTION_MS },
      { retentionMs: RETENTION_MS, expected: RETENTION_MS },
      { retentionMs: 3 * RETENTION_MS, expected: LEASE_MS + 3 * RETENTION_MS },
    ];
    for (const { retentionMs, expected } of cases) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      await bench.elapse(LEASE_MS);
      await subject.complete(owner, retentionMs === undefined ? {} : { retentionMs });
      const { createdAt, expiresAt } = await subject.view();
      assertAbout((expiresAt ?? 0) - createdAt, expected, "time from claim to expiry");
    }
  }),
];
