import assert from "node:assert/strict";
import { assertAbout, clause, heldTwice, LEASE_MS, newOwner, wrongOwners } from "../bench.ts";

export const renewClauses = [
  clause("renew.owner", "the owner moves the end of its lease to now + leaseMs", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(LEASE_MS / 2);
    assert.equal(await subject.through(bench.second).renew(owner), true);
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS, "longer");
    assert.equal(await subject.renew(owner, { leaseMs: LEASE_MS / 3 }), true);
    assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS / 3, "shorter");
  }),
  clause("renew.lapsed", "a lapsed lease can be renewed before a take-over", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(2 * LEASE_MS);
    assert.equal(await subject.renew(owner), true);
    const view = await subject.view();
    assert.equal(view.state, "in-progress");
    assert.equal(view.owner, owner);
  }),
  clause("renew.zero", "a renewal for 0 ms lets the claim lapse at once", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    assert.equal(await subject.renew(owner, { leaseMs: 0 }), true);
    assert.equal((await subject.view()).state, "lapsed");
    assert.equal((await subject.claim()).outcome, "lapsed");
    const taken = await subject.through(bench.second).claim({ takeOver: true });
    assert.equal(taken.outcome === "claimed" && taken.takenOver, true);
  }),
  clause(
    "renew.keeps-lease",
    "a renewal without leaseMs leaves the end as it is",
    async (bench) => {
      const [running, lapsed] = [bench.subject(), bench.subject()];
      const [{ owner }, { owner: late }] = [await running.claimed(), await lapsed.claimed()];
      await lapsed.renew(late, { leaseMs: 0 });
      await bench.elapse(LEASE_MS / 2);
      const checkpoint = { revision: 1, value: "progress" };
      assert.equal(await running.through(bench.second).keep(owner, checkpoint), true);
      const view = await running.view();
      assertAbout(view.leaseRemainingMs, LEASE_MS / 2, "leaseRemainingMs");
      assert.deepEqual(view.checkpoint, checkpoint);
      assert.equal(await lapsed.keep(late, checkpoint), true);
      assert.equal((await lapsed.view()).state, "lapsed");
      assertAbout((await lapsed.view()).leaseRemainingMs, -LEASE_MS / 2, "leaseRemainingMs");
    },
  ),
  clause("renew.fence", "nobody else renews, and nothing is made by renewing", async (bench) => {
    const absent = bench.subject();
    assert.equal(await absent.renew(newOwner()), false);
    assert.equal(await absent.read(), undefined);
    const subject = bench.subject();
    await subject.claimed();
    const before = (await subject.view()).leaseRemainingMs;
    const foreign = { leaseMs: 10 * LEASE_MS, checkpoint: { revision: 9, value: "foreign" } };
    for (const passedMs of [0, 2 * LEASE_MS]) {
      await bench.elapse(passedMs);
      for (const owner of await wrongOwners(subject)) {
        assert.equal(await subject.renew(owner, foreign), false, `after ${passedMs} ms`);
        assert.equal(await subject.keep(owner, foreign.checkpoint), false, "nor keeps progress");
      }
      const view = await subject.view();
      assertAbout(view.leaseRemainingMs, (before ?? 0) - passedMs, "leaseRemainingMs");
      assert.equal(view.checkpoint, undefined);
    }
  }),
  clause("renew.token", "a claim that was lost and got again is another one", async (bench) => {
    const { subject, owner, first, second } = await heldTwice(bench);
    assert.equal(await subject.renew(owner, { token: first }), false);
    assert.equal(await subject.renew(owner, { token: second + 1 }), false);
    await bench.elapse(LEASE_MS);
    assert.equal(await subject.renew(owner, { token: first }), false, "nor once lapsed");
    assert.equal(await subject.renew(owner, { token: second }), true);
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
];
