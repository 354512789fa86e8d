import assert from "node:assert/strict";
import type { RecordView } from "@idemkit/engine";
import {
  assertAbout,
  clause,
  LEASE_MS,
  listed,
  RETENTION_MS,
  type Subject,
  TOLERANCE_MS,
} from "../bench.ts";

export const readClauses = [
  clause("read.absent", "reading what is not there answers undefined", async (bench) => {
    assert.equal(await bench.subject().read(), undefined);
  }),
  clause("read.states", "a record is shown with its state", async (bench) => {
    const [running, lapsed, unknown, done, released] = bench.subjects(5) as [
      Subject,
      Subject,
      Subject,
      Subject,
      Subject,
    ];
    const claim = { fingerprint: "print", checkpoint: "half" };
    await lapsed.claimed(claim);
    await bench.elapse(LEASE_MS);
    const held = await unknown.claimed(claim);
    await unknown.complete(held.owner, { status: "unknown", body: "evidence" });
    const finished = await done.claimed(claim);
    await done.complete(finished.owner, { note: "note" });
    const freed = await released.claimed(claim);
    await released.release(freed.owner);
    const { owner, token } = await running.claimed(claim);

    const view = await running.through(bench.second).view();
    assertAbout(view.leaseRemainingMs, LEASE_MS, "leaseRemainingMs");
    assert.deepEqual(
      { ...view, leaseRemainingMs: 0, createdAt: 0 },
      {
        id: running.id,
        state: "in-progress",
        fingerprint: "print",
        owner,
        token,
        attempt: 1,
        leaseRemainingMs: 0,
        checkpoint: { revision: 0, value: "half" },
        createdAt: 0,
      },
    );
    const lapsedView = await lapsed.view();
    assert.equal(lapsedView.state, "lapsed");
    assertAbout(lapsedView.leaseRemainingMs, 0, "leaseRemainingMs once lapsed");
    assert.ok((lapsedView.leaseRemainingMs ?? 1) <= 0, "expected 0 or less once lapsed");
    assert.deepEqual(facts(await unknown.view()), ["unknown", "unknown", "evidence", false]);
    assert.deepEqual(facts(await done.view()), ["completed", "succeeded", "body", true]);
    assert.equal((await done.view()).note, "note");
    assert.deepEqual(facts(await released.view()), ["released", undefined, undefined, true]);
  }),
  clause("read.changes-nothing", "reading changes nothing", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await subject.complete(owner);
    const before = await subject.view();
    assert.deepEqual(await subject.through(bench.second).view(), before);
    await bench.elapse(RETENTION_MS);
    assert.equal(await subject.read(), undefined);
  }),
  clause("time.of-the-store", "both handles see the same clock: the store's", async (bench) => {
    for (const [here, there] of [
      [bench.first, bench.second],
      [bench.second, bench.first],
    ] as const) {
      const subject = bench.subject();
      await subject.through(here).claimed();
      const outcome = await subject.through(there).claim({ takeOver: true });
      assert.ok(outcome.outcome === "in-progress", `expected in-progress: ${outcome.outcome}`);
      assertAbout(outcome.leaseRemainingMs, LEASE_MS, "leaseRemainingMs");
    }
  }),
  clause("time.age", "the age of an outcome counts from its completion", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed();
    await bench.elapse(LEASE_MS);
    await subject.complete(owner);
    await bench.elapse(3 * LEASE_MS);
    const again = await subject.claim();
    assert.ok(again.outcome === "completed", `expected completed: ${again.outcome}`);
    assertAbout(again.ageMs, 3 * LEASE_MS, "ageMs");
    assertAbout(again.completedAt - again.createdAt, LEASE_MS, "from claim to completion");
  }),
  clause("list.states", "open records are listed by state, and only they", async (bench) => {
    const subjects = bench.subjects(5);
    const [lapsed, unknown, done, released, running] = subjects as [
      Subject,
      Subject,
      Subject,
      Subject,
      Subject,
    ];
    await lapsed.claimed();
    await bench.elapse(LEASE_MS);
    for (const [subject, status] of [
      [unknown, "unknown"],
      [done, "succeeded"],
    ] as const) {
      await subject.complete((await subject.claimed()).owner, { status });
    }
    await released.release((await released.claimed()).owner);
    await running.claimed({ leaseMs: 2 * TOLERANCE_MS });
    await bench.elapse(TOLERANCE_MS);
    for (const [state, subject] of [
      ["in-progress", running],
      ["lapsed", lapsed],
      ["unknown", unknown],
    ] as const) {
      const found = await listed(bench.second, state, subjects, 1_000);
      assert.deepEqual(
        found.map(({ id, state: shown }) => ({ id, shown })),
        [{ id: subject.id, shown: state }],
      );
    }
    await bench.elapse(2 * RETENTION_MS);
    assert.equal((await listed(bench.first, "unknown", subjects, 1_000)).length, 1);
  }),
  clause("list.pages", "pages of a list follow each other without gap or repeat", async (bench) => {
    const subjects = bench.subjects(7);
    for (const subject of subjects) {
      const { owner } = await subject.claimed();
      await subject.complete(owner, { status: "unknown" });
    }
    const found = await listed(bench.first, "unknown", subjects, 2);
    const digests = found.map(({ id }) => id.digest);
    assert.deepEqual(digests.sort(), subjects.map(({ id }) => id.digest).sort());
  }),
];

function facts({ state, status, body, expiresAt }: RecordView) {
  return [state, status, body, expiresAt !== undefined];
}
