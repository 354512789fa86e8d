import assert from "node:assert/strict";
import {
  assertAbout,
  clause,
  heldTwice,
  LEASE_MS,
  newOwner,
  RETENTION_MS,
  TOLERANCE_MS,
  wrongOwners,
} from "../bench.ts";

export const releaseClauses = [
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
    const { owner } = await subject.claimed({ checkpoint: "half" });
    await subject.complete(owner, { status: "unknown", note: "why" });
    assert.equal(await subject.release(owner), true);
    const before = await subject.view();
    await bench.elapse(TOLERANCE_MS);
    assert.equal(await subject.release(owner), true);
    const after = await subject.view();
    assert.deepEqual([after.note, after.checkpoint], [before.note, before.checkpoint]);
    assertAbout((after.expiresAt ?? 0) - after.createdAt, RETENTION_MS, "time to expiry");
    await subject.claimed();
    assert.equal(await subject.release(owner), false, "but not once somebody else has it");
  }),
  clause("release.token", "a late release does not give back a later hold", async (bench) => {
    const { subject, owner, first, second } = await heldTwice(bench);
    assert.equal(await subject.release(owner, { token: first }), false);
    assert.equal((await subject.view()).state, "in-progress");
    await bench.elapse(LEASE_MS);
    assert.equal(await subject.release(owner, { token: first }), false, "nor once lapsed");
    assert.equal((await subject.view()).state, "lapsed");
    assert.equal(await subject.complete(owner, { token: second, status: "unknown" }), true);
    assert.equal(await subject.release(owner, { token: first }), false, "nor what is unknown");
    assert.equal(await subject.release(owner, { token: second }), true);
    assert.equal(await subject.release(owner, { token: first }), false, "nor said to have been");
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
    for (const state of ["in-progress", "lapsed", "unknown"] as const) {
      if (state === "lapsed") await bench.elapse(LEASE_MS);
      if (state === "unknown") await subject.complete(owner, { status: "unknown" });
      for (const wrong of await wrongOwners(subject)) {
        assert.equal(await subject.release(wrong), false, state);
      }
      assert.equal((await subject.view()).state, state);
    }
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
    for (const ending of ["in progress", "lapsed", "succeeded", "unknown"] as const) {
      const subject = bench.subject();
      const { owner, token } = await subject.claimed({ checkpoint: "half" });
      if (ending === "lapsed") await bench.elapse(LEASE_MS);
      else if (ending !== "in progress") {
        await subject.complete(owner, { status: ending, note: "n" });
      }
      assert.equal(await subject.remove(token), true);
      const view = await subject.view();
      assert.equal(view.state, "released");
      assert.equal(view.token, token);
      for (const gone of ["body", "checkpoint", "status", "note", "completedAt"] as const) {
        assert.equal(view[gone], undefined, gone);
      }
      assert.equal(await subject.renew(owner), false);
      assert.equal(await subject.complete(owner), false);
      const next = await subject.claimed({ fingerprint: "other" });
      assert.equal(next.attempt, 2);
      assert.ok(next.token > token, "expected a greater token");
      assert.equal(await subject.release(owner), false);
    }
  }),
  clause(
    "remove.owner",
    "after a removal a delayed claim of the owner changes nothing",
    async (bench) => {
      for (const ending of ["in progress", "succeeded"] as const) {
        const subject = bench.subject();
        const { owner, token } = await subject.claimed();
        if (ending === "succeeded") await subject.complete(owner);
        assert.equal(await subject.remove(token), true);
        assert.equal((await subject.view()).owner, owner);
        for (const fingerprint of ["fingerprint", "other"]) {
          const delayed = { owner, fingerprint, takeOver: true };
          const outcome = await subject.through(bench.second).claim(delayed);
          assert.ok(outcome.outcome === "in-progress" && outcome.leaseRemainingMs === 0);
        }
        assert.equal((await subject.view()).state, "released");
      }
    },
  ),
];
