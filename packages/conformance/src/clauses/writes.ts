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

const MIB = 1024 * 1024;

const BODIES = {
  empty: "",
  "one blank": " ",
  "ends in blanks and a line break": "text  \n",
  "decomposed and composed accents": "e\u0301 \u00e9",
  "beyond the basic plane": "🔑 𝄞 \u{10ffff}",
  "control characters": "\u0001\u001f\u007f\u0085\u2028\ufeff",
  quotes: `' '' " \\ \\' \\0 %s $1 ? :name`,
  "looks like a number": "1e5",
  "64 KiB and one": "x".repeat(65_537),
  "4 MiB": "é".repeat(2 * MIB),
};

/** Owners that must not pass the fence: a stranger, the same in other letters, and none. */
async function wrongOwners(subject: Subject): Promise<readonly string[]> {
  const { owner = "" } = await subject.view();
  return [newOwner(), owner.toUpperCase(), ""].filter((wrong) => wrong !== owner);
}

export const writeClauses = [
  clause("renew.owner", "the owner moves the end of its lease to now + leaseMs", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(LEASE_MS / 2);
    assert.equal(await subject.through(bench.second).renew(owner), true);
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS, "longer");
    assert.equal(await subject.renew(owner, { leaseMs: LEASE_MS / 3 }), true);
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS / 3, "shorter");
  }),

  clause("renew.lapsed", "a lapsed lease that nobody took over can be renewed", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(2 * LEASE_MS);
    assert.equal(await subject.renew(owner), true);
    const view = await subject.view();
    assert.equal(view.state, "in-progress");
    assert.equal(view.owner, owner);
  }),

  clause("renew.fence", "nobody else renews, and nothing is made by renewing", async (bench) => {
    const absent = bench.subject();
    assert.equal(await absent.renew(newOwner()), false);
    assert.equal(await absent.read(), undefined);
    const subject = bench.subject();
    await subject.claimed();
    const before = (await subject.view()).leaseRemainingMs;
    for (const owner of await wrongOwners(subject)) {
      const renewed = await subject.renew(owner, {
        leaseMs: 10 * LEASE_MS,
        checkpoint: { revision: 9, value: "foreign" },
      });
      assert.equal(renewed, false);
    }
    const view = await subject.view();
    assertAbout(view.leaseRemainingMs, before ?? 0, "leaseRemainingMs");
    assert.equal(view.checkpoint, undefined);
  }),

  clause("renew.ended", "a claim that has ended is not renewed", async (bench) => {
    for (const ending of ["succeeded", "failed", "unknown", "released"] as const) {
      const subject = bench.subject();
      const { owner } = await subject.claimed();
      if (ending === "released") await subject.release(owner);
      else await subject.complete(owner, { status: ending });
      const before = await subject.view();
      assert.equal(await subject.renew(owner), false, ending);
      assert.deepEqual(await subject.view(), before);
    }
  }),

  clause("renew.checkpoint", "a checkpoint goes forward and never back", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed({ checkpoint: "zero" });
    const steps = [
      { given: { revision: 2, value: "two" }, kept: { revision: 2, value: "two" } },
      { given: { revision: 1, value: "one" }, kept: { revision: 2, value: "two" } },
      { given: { revision: 2, value: "again" }, kept: { revision: 2, value: "two" } },
      { given: { revision: 10, value: "" }, kept: { revision: 10, value: "" } },
    ];
    for (const { given, kept } of steps) {
      assert.equal(await subject.renew(owner, { checkpoint: given }), true);
      assert.deepEqual((await subject.view()).checkpoint, kept);
    }
    await subject.renew(owner);
    assert.deepEqual((await subject.view()).checkpoint, { revision: 10, value: "" });
  }),

  clause("renew.first-checkpoint", "a renewal can bring the first checkpoint", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    assert.equal(await subject.renew(owner, { checkpoint: { revision: 0, value: "begun" } }), true);
    await bench.elapse(LEASE_MS);
    const { checkpoint } = await subject.claimed({ takeOver: true });
    assert.deepEqual(checkpoint, { revision: 0, value: "begun" });
  }),

  clause("complete.bodies", "a body comes back as it was given", async (bench) => {
    for (const [name, body] of Object.entries(BODIES)) {
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
    await subject.claimed();
    for (const owner of await wrongOwners(subject)) {
      assert.equal(await subject.complete(owner), false);
    }
    assert.equal((await subject.view()).state, "in-progress");
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
      const { owner } = await subject.claimed({ takeOver: true });
      assert.equal(await subject.complete(owner, { body: "same" }), true);
      assert.equal(await subject.complete(late.owner, { body: "same" }), false);
    },
  ),

  clause("complete.lapsed", "a lapsed claim that nobody took over can complete", async (bench) => {
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
      const decided = { status: "failed", body: "decided", note: "by an operator" } as const;
      assert.equal(await subject.through(bench.second).complete(owner, decided), true);
      const { state, status, body, note } = await subject.view();
      assert.deepEqual({ state, status, body, note }, { state: "completed", ...decided });
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

  clause("complete.retention", "expiry counts from the claim, or later if asked", async (bench) => {
    const cases = [
      { retentionMs: undefined, expected: RETENTION_MS },
      { retentionMs: 1, expected: RETENTION_MS },
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

  clause("release.claimable", "a released record keeps token, attempt and owner", async (bench) => {
    const subject = bench.subject();
    const { owner, token } = await subject.claimed({ checkpoint: "half" });
    assert.equal(await subject.through(bench.second).release(owner), true);
    const view = await subject.view();
    assert.equal(view.state, "released");
    assert.deepEqual([view.owner, view.token, view.attempt], [owner, token, 1]);
    assert.deepEqual(view.checkpoint, { revision: 0, value: "half" });
    assert.equal((await subject.claim()).outcome, "claimed");
  }),

  clause("release.repeat", "releasing again is told true", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    assert.equal(await subject.release(owner), true);
    assert.equal(await subject.release(owner), true);
    await subject.claimed();
    assert.equal(await subject.release(owner), false, "but not once somebody else has it");
  }),

  clause("release.lapsed", "a lapsed claim can be released", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(2 * LEASE_MS);
    assert.equal(await subject.release(owner), true);
    assert.equal((await subject.claim()).outcome, "claimed");
  }),

  clause("release.unknown", "an unknown outcome is given up, its note kept", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await subject.complete(owner, { status: "unknown", body: "evidence", note: "why" });
    assert.equal(await subject.release(owner), true);
    const { state, status, body, note, completedAt } = await subject.view();
    assert.deepEqual([state, note], ["released", "why"]);
    assert.deepEqual([status, body, completedAt], [undefined, undefined, undefined]);
    await subject.claimed();
    assert.equal((await subject.view()).note, undefined, "a new claim begins without it");
  }),

  clause("release.expired", "what has expired is absent for its releaser too", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await subject.release(owner);
    await bench.elapse(RETENTION_MS);
    assert.equal(await subject.release(owner), false);
  }),

  clause("release.fence", "nobody else releases, and no outcome is released", async (bench) => {
    const absent = bench.subject();
    assert.equal(await absent.release(newOwner()), false);
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    for (const wrong of await wrongOwners(subject)) {
      assert.equal(await subject.release(wrong), false);
    }
    assert.equal((await subject.view()).state, "in-progress");
    for (const status of ["succeeded", "failed"] as const) {
      const done = bench.subject();
      const claimed = await done.claimed();
      await done.complete(claimed.owner, { status });
      assert.equal(await done.release(claimed.owner), false);
      assert.equal((await done.view()).status, status);
    }
    assert.equal(await subject.release(owner), true);
    assert.equal(await subject.release(newOwner()), false, "released already, by another");
  }),

  clause("remove.token", "a removal needs the record's present token", async (bench) => {
    assert.equal(await bench.subject().remove(1), false);
    const subject = bench.subject();
    const { token } = await subject.claimed();
    assert.equal(await subject.remove(token - 1), false);
    assert.equal((await subject.view()).state, "in-progress");
    assert.equal(await subject.through(bench.second).remove(token), true);
    assert.equal(await subject.remove(token), true, "safe to repeat");
  }),

  clause("remove.expired", "what has expired is absent for its remover too", async (bench) => {
    const subject = bench.subject();
    const { owner, token } = await subject.claimed();
    await subject.complete(owner);
    await bench.elapse(RETENTION_MS);
    assert.equal(await subject.remove(token), false);
  }),

  clause("remove.fences", "a removal drops the outcome and fences out its owner", async (bench) => {
    for (const ending of ["in progress", "succeeded", "unknown"] as const) {
      const subject = bench.subject();
      const { owner, token } = await subject.claimed({ checkpoint: "half" });
      if (ending !== "in progress") await subject.complete(owner, { status: ending, note: "n" });
      assert.equal(await subject.remove(token), true);
      const view = await subject.view();
      assert.equal(view.state, "released");
      assert.equal(view.token, token);
      for (const gone of [
        "owner",
        "body",
        "checkpoint",
        "status",
        "note",
        "completedAt",
      ] as const) {
        assert.equal(view[gone], undefined, gone);
      }
      assert.equal(await subject.renew(owner), false);
      assert.equal(await subject.complete(owner), false);
      assert.equal(await subject.release(owner), false);
      const next = await subject.claimed({ fingerprint: "other" });
      assert.equal(next.attempt, 2);
      assert.ok(next.token > token, "expected a greater token");
    }
  }),
];
