import assert from "node:assert/strict";
import { assertAbout, clause, LEASE_MS, newOwner, RETENTION_MS, TOLERANCE_MS } from "../bench.ts";
import { TEXTS } from "../texts.ts";

export const valueClauses = [
  clause("values.texts", "notes and checkpoints come back as they were given", async (bench) => {
    for (const text of TEXTS) {
      const subject = bench.subject();
      const { owner, checkpoint } = await subject.claimed({ checkpoint: text });
      assert.deepEqual(checkpoint, { revision: 0, value: text });
      assert.deepEqual((await subject.view()).checkpoint, { revision: 0, value: text });
      await subject.renew(owner, { checkpoint: { revision: 1, value: `1${text}` } });
      assert.deepEqual((await subject.view()).checkpoint, { revision: 1, value: `1${text}` });
      await subject.complete(owner, { status: "unknown", note: text });
      const view = await subject.through(bench.second).view();
      assert.ok(view.note === text, "the note changed on its way");
      assert.deepEqual(view.checkpoint, { revision: 1, value: `1${text}` }, "after completion");
    }
  }),

  clause(
    "values.fingerprints",
    "fingerprints are compared character by character",
    async (bench) => {
      for (const other of ["Print", "print ", "prinT", "prin", "print\u0301"]) {
        const subject = bench.subject();
        await subject.claimed({ fingerprint: "print" });
        await bench.elapse(LEASE_MS);
        const outcome = await subject.claim({ fingerprint: other, takeOver: true });
        assert.equal(outcome.outcome, "lapsed", `taken over for «${other}»`);
      }
    },
  ),

  clause("values.owners", "owners are compared to their last character", async (bench) => {
    const subject = bench.subject();
    const owner = `${newOwner().slice(0, -1)}0`;
    await subject.claimed({ owner });
    const alike = `${owner.slice(0, -1)}1`;
    assert.equal((await subject.claim({ owner: alike })).outcome, "in-progress");
    assert.equal(await subject.renew(alike), false);
    assert.equal(await subject.complete(alike), false);
    assert.equal(await subject.release(alike), false);
  }),

  clause(
    "claim.same-owner-alone",
    "who an owner is decides, not what it asks again",
    async (bench) => {
      const subject = bench.subject();
      const first = await subject.claimed({ fingerprint: "first" });
      const others = { fingerprint: "other", retentionMs: 9 * RETENTION_MS, checkpoint: "other" };
      const again = { owner: first.owner, ...others };
      assert.equal((await subject.claimed(again)).token, first.token);
      const { fingerprint, checkpoint } = await subject.view();
      assert.deepEqual([fingerprint, checkpoint], ["first", undefined]);
      await subject.complete(first.owner);
      const { createdAt, expiresAt = 0 } = await subject.view();
      assertAbout(expiresAt - createdAt, RETENTION_MS, "expiry stays with the first claim");
      const begun = bench.subject();
      const { owner } = await begun.claimed({ checkpoint: "begun" });
      const kept = await begun.claimed({ owner, checkpoint: "other" });
      assert.deepEqual(kept.checkpoint, { revision: 0, value: "begun" });
    },
  ),

  clause("claim.begins-anew", "a new claim keeps nothing of an older outcome", async (bench) => {
    for (const ending of ["released", "expired"] as const) {
      const subject = bench.subject();
      const first = await subject.claimed();
      const note = "of the old life";
      await subject.complete(first.owner, { status: "unknown", body: "old", note });
      if (ending === "released") await subject.release(first.owner);
      else await subject.complete(first.owner, { body: "old", note });
      await bench.elapse(ending === "released" ? RETENTION_MS / 2 : RETENTION_MS);
      const second = await subject.claimed();
      const { body, note: kept, status, completedAt } = await subject.view();
      assert.deepEqual(
        [body, kept, status, completedAt],
        [undefined, undefined, undefined, undefined],
      );
      await subject.complete(second.owner, { body: "new" });
      const view = await subject.view();
      assert.equal(view.note, undefined);
      assertAbout((view.expiresAt ?? 0) - view.createdAt, RETENTION_MS, `expiry once ${ending}`);
    }
  }),

  clause(
    "complete.unknown-again",
    "an unknown outcome takes newer evidence and another note",
    async (bench) => {
      const subject = bench.subject();
      const { owner } = await subject.claimed({ checkpoint: "half" });
      await subject.complete(owner, { status: "unknown", body: "same", note: "first" });
      assert.equal(
        await subject.renew(owner, { checkpoint: { revision: 9, value: "late" } }),
        false,
      );
      await subject.complete(owner, { status: "unknown", body: "same", note: "second" });
      assert.equal((await subject.view()).note, "second");
      await subject.complete(owner, { status: "unknown", body: "newer" });
      const view = await subject.view();
      assert.deepEqual([view.body, view.note], ["newer", undefined]);
      assert.deepEqual(view.checkpoint, { revision: 0, value: "half" });
      assertAbout(view.completedAt, view.createdAt, "completedAt");
      await subject.release(owner);
      assert.deepEqual((await subject.view()).checkpoint, { revision: 0, value: "half" });
      assert.equal(await subject.complete(owner, { status: "unknown" }), false, "once released");
    },
  ),

  clause(
    "remove.exact",
    "a failure can be removed, and a greater token removes nothing",
    async (bench) => {
      const subject = bench.subject();
      const { owner, token } = await subject.claimed();
      assert.equal(await subject.remove(token + 1), false);
      await subject.complete(owner, { status: "failed" });
      assert.equal(await subject.remove(token + 1_000_000), false);
      assert.equal(await subject.remove(token), true);
      assert.equal((await subject.view()).state, "released");
    },
  ),

  clause("list.views", "a list shows its records as reading does", async (bench) => {
    const subject = bench.subject();
    const { owner } = await subject.claimed({ checkpoint: "half" });
    await subject.complete(owner, { status: "unknown", body: "evidence", note: "why" });
    const { digest } = subject.id;
    // The cursor of a page is the store's own; the first page that has the record will do.
    let after: string | undefined;
    for (let page = 0; page < 10_000; page += 1) {
      const { records, next } = await bench.second.list({
        state: "unknown",
        limit: 1_000,
        ...(after !== undefined && { after }),
      });
      const found = records.find(({ id }) => id.digest === digest);
      if (found !== undefined) {
        assert.deepEqual(found, await subject.view());
        return;
      }
      assert.ok(next !== undefined, "the record is on no page");
      after = next;
    }
  }),

  clause(
    "complete.nine-tenths",
    "expiry moves where less than nine tenths are left",
    async (bench) => {
      // So long that the border lies between two moments that are close, as tenths go.
      const retentionMs = 1_000 * RETENTION_MS;
      const borderMs = retentionMs / 10;
      const [before, after] = [borderMs - 1.5 * TOLERANCE_MS, borderMs + 1.5 * TOLERANCE_MS];
      for (const { passedMs, expectedMs } of [
        { passedMs: before, expectedMs: retentionMs },
        { passedMs: after, expectedMs: after + retentionMs },
      ]) {
        const subject = bench.subject();
        const { owner } = await subject.claimed({ retentionMs });
        await bench.elapse(passedMs);
        await subject.complete(owner, { retentionMs });
        const { createdAt, expiresAt = 0 } = await subject.view();
        assertAbout(expiresAt - createdAt, expectedMs, "time from claim to expiry");
      }
    },
  ),
];
