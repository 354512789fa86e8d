import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { Claimed, RecordView } from "@idemkit/engine";
import { assertAbout, LEASE_MS, newOwner, RETENTION_MS } from "../bench.ts";
import { transactionalClause as clause, completionOf } from "../transaction-bench.ts";
import type { TransactionalClause } from "../transactional-harness.ts";

const RIVALS = 16;
const ROUNDS = 8;
/** How often a clause looks at a transaction that goes on. */
const LOOKS_MAX = 10_000;

export const transactClauses: readonly TransactionalClause[] = [
  clause("transact.commits", "claim, work and outcome are one commit", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    const answer = await bench.transact(request);
    assert.ok(answer.outcome === "claimed" && answer.attempt === 1 && !answer.takenOver);
    const view = await subject.through(bench.second).view();
    assert.deepEqual(
      [view.state, view.status, view.body, view.owner, view.token],
      ["completed", "succeeded", "body", request.owner, answer.token],
    );
    const leftMs = (view.expiresAt ?? 0) - (view.completedAt ?? 0);
    assertAbout(leftMs, RETENTION_MS, "retention");
    assert.deepEqual([await bench.effects(subject), bench.runs], [1, 1]);
  }),
  clause("transact.isolated", "a transaction shows nothing before its commit", async (bench) => {
    const subject = bench.subject();
    const seen: Promise<{ readonly rows: number; readonly view: RecordView | undefined }>[] = [];
    const meanwhile = async () => {
      const looks = [bench.effects(subject), subject.through(bench.second).read()] as const;
      const seeing = Promise.all(looks).then(([rows, view]) => ({ rows, view }));
      seen.push(seeing);
      await seeing;
    };
    assert.equal((await bench.transact(subject.request(), { meanwhile })).outcome, "claimed");
    const [looked] = await Promise.all(seen);
    assert.equal(looked?.rows, 0, "rows that were seen during the work");
    // Where nothing can be awaited during the work, the record is seen after it.
    assert.ok([undefined, "succeeded"].includes(looked?.view?.status), "an outcome or none");
    assert.notEqual(looked?.view?.state, "in-progress", "the claim was seen before its outcome");
  }),
  clause("transact.together", "work and outcome become visible together", async (bench) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const subject = bench.subject();
      let isOver = false;
      const call = bench.transact(subject.request()).finally(() => {
        isOver = true;
      });
      try {
        for (let look = 0; !isOver && look < LOOKS_MAX; look += 1) {
          const { rowsBefore, view, rowsAfter } = await bench.committed(subject);
          if (rowsBefore > 0) assert.equal(view?.status, "succeeded", "work without its outcome");
          const isSeen = view !== undefined;
          if (isSeen) assert.deepEqual([view.status, rowsAfter], ["succeeded", 1], "no work");
          await turn();
        }
      } finally {
        await call;
      }
    }
  }),
  clause("transact.refused-outcome", "work whose outcome is refused is undone", async (bench) => {
    for (const forge of [{ owner: newOwner() }, { ifLapsed: true }]) {
      const subject = bench.subject();
      const result = await bench.transact(subject.request(), { forge }).catch(() => undefined);
      assert.notEqual(result?.outcome, "claimed");
      assert.equal(await subject.through(bench.second).read(), undefined);
      assert.equal(await bench.effects(subject), 0);
      const again = await bench.transact(subject.request());
      assert.ok(again.outcome === "claimed" && again.attempt === 1);
    }
  }),
  clause("transact.replay", "a duplicate gets the outcome, and does not work", async (bench) => {
    const subject = bench.subject();
    await bench.transact(subject.request());
    const through = bench.harness.stores[1];
    const answer = await bench.transact(subject.request(), { through, body: "other" });
    assert.ok(answer.outcome === "completed" && answer.body === "body");
    assert.deepEqual([await bench.effects(subject), bench.runs], [1, 1]);
  }),
  clause("transact.repeat", "the same request again finds what it has committed", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    await bench.transact(request);
    const answer = await bench.transact(request, { through: bench.harness.stores[1] });
    assert.ok(answer.outcome === "completed" && answer.owner === request.owner);
    assert.deepEqual([await bench.effects(subject), bench.runs], [1, 1]);
  }),
  clause("transact.throws", "work that throws leaves nothing behind", async (bench) => {
    const subject = bench.subject();
    const thenThrow = new Error("declined");
    await assert.rejects(
      bench.transact(subject.request(), { thenThrow }),
      (error) => error === thenThrow,
    );
    assert.equal(await subject.read(), undefined);
    assert.equal(await bench.effects(subject), 0);
    const answer = await bench.transact(subject.request());
    assert.ok(answer.outcome === "claimed" && answer.attempt === 1);
    assert.equal(await bench.effects(subject), 1);
  }),
  clause("transact.on-error", "a failure is recorded, and what it wrote undone", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    const thenThrow = new Error("declined");
    const heard: unknown[] = [];
    const onError = (error: unknown, claimed: Claimed) => {
      heard.push(error);
      return completionOf(request, claimed, { status: "failed", body: "why" });
    };
    const answer = await bench.transact(request, { thenThrow, options: { onError } });
    assert.equal(answer.outcome, "claimed");
    assert.deepEqual(heard, [thenThrow]);
    const { status, body } = await subject.view();
    assert.deepEqual([status, body, await bench.effects(subject)], ["failed", "why", 0]);
  }),
  clause("transact.on-error-silent", "or is not, where nobody wants it", async (bench) => {
    const subject = bench.subject();
    const thenThrow = new Error("declined");
    const options = { onError: () => undefined };
    await assert.rejects(
      bench.transact(subject.request(), { thenThrow, options }),
      (error) => error === thenThrow,
    );
    assert.equal(await subject.read(), undefined);
    const done = await bench.transact(bench.subject().request(), { options });
    assert.equal(done.outcome, "claimed", "and where nothing throws, all is as without it");
  }),
  clause("transact.refused", "what is not to be had is not worked on", async (bench) => {
    const running = bench.subject();
    await running.claimed();
    assert.equal((await bench.transact(running.request())).outcome, "in-progress");
    const lapsed = bench.subject();
    await lapsed.claimed();
    await bench.elapse(LEASE_MS);
    assert.equal((await bench.transact(lapsed.request())).outcome, "lapsed");
    const early = lapsed.request({ takeOver: true, takeOverAfterMs: LEASE_MS });
    assert.equal((await bench.transact(early)).outcome, "lapsed");
    const unknown = bench.subject();
    const { owner } = await unknown.claimed();
    await unknown.complete(owner, { status: "unknown" });
    const answer = await bench.transact(unknown.request());
    assert.ok(answer.outcome === "completed" && answer.status === "unknown");
    assert.equal(bench.runs, 0);
    assert.equal((await lapsed.view()).state, "lapsed", "nothing was written");
  }),
  clause("transact.take-over", "lapsed work is taken over, and fenced out", async (bench) => {
    const subject = bench.subject();
    const { owner, token } = await subject.claimed();
    await bench.elapse(LEASE_MS);
    const answer = await bench.transact(subject.request({ takeOver: true }));
    assert.ok(answer.outcome === "claimed" && answer.takenOver && answer.attempt === 2);
    assert.ok(answer.token > token, "expected a greater token");
    assert.equal(await subject.complete(owner, { token }), false);
    assert.equal(await bench.effects(subject), 1);
  }),
  clause("transact.own-claim", "an owner ends the claim that it holds", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    const { token, createdAt } = await subject.claimed(request);
    const answer = await bench.transact(request, { through: bench.harness.stores[1] });
    assert.ok(answer.outcome === "claimed" && answer.token === token);
    assert.equal(answer.createdAt, createdAt);
    const view = await subject.view();
    assert.deepEqual([view.status, view.token], ["succeeded", token]);
    assert.equal(await bench.effects(subject), 1);
  }),
  clause("transact.own-claim-throws", "and keeps it where its work throws", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    const { owner } = await subject.claimed(request);
    await assert.rejects(bench.transact(request, { thenThrow: new Error("declined") }));
    assert.equal((await subject.view()).state, "in-progress");
    assert.equal(await subject.renew(owner), true);
    assert.equal(await bench.effects(subject), 0);
  }),
  clause("transact.fence", "a late owner writes nothing any more", async (bench) => {
    const subject = bench.subject();
    const request = subject.request();
    await subject.claimed(request);
    await bench.elapse(LEASE_MS);
    await subject.claimed({ takeOver: true });
    assert.equal((await bench.transact(request)).outcome, "in-progress");
    assert.deepEqual([await bench.effects(subject), bench.runs], [0, 0]);
  }),
  clause("transact.race", `of ${RIVALS} at once one works and commits`, async (bench) => {
    const subject = bench.subject();
    const answers = await Promise.all(
      Array.from({ length: RIVALS }, async (_, index) => {
        const through = bench.harness.stores[index % 2] ?? bench.harness.stores[0];
        return await bench.transact(subject.request(), { through });
      }),
    );
    const won = answers.filter(({ outcome }) => outcome === "claimed");
    assert.deepEqual([won.length, await bench.effects(subject)], [1, 1]);
    const others = answers.filter(({ outcome }) => outcome !== "claimed");
    assert.ok(others.every(({ outcome }) => outcome === "completed" || outcome === "blocked"));
  }),
  clause("bind.commits", "a bound store's records come with the commit", async (bench) => {
    const subject = bench.subject();
    const { owner } = subject.request();
    await bench.harness.transaction(async (tx, bound) => {
      const inside = subject.through(bound);
      await inside.claimed({ owner });
      await bench.harness.write(tx, subject.id.digest);
      assert.equal(await inside.complete(owner), true);
      assert.equal((await inside.view()).status, "succeeded");
    });
    const view = await subject.through(bench.second).view();
    assert.deepEqual(
      [view.status, view.owner, await bench.effects(subject)],
      ["succeeded", owner, 1],
    );
  }),
  clause("bind.rolls-back", "and go with the roll-back", async (bench) => {
    const subject = bench.subject();
    const released = bench.subject();
    const { owner } = await released.claimed();
    const undone = new Error("undo it all");
    const attempt = bench.harness.transaction(async (tx, bound) => {
      const claim = await subject.through(bound).claimed();
      await subject.through(bound).complete(claim.owner);
      assert.equal(await released.through(bound).release(owner), true);
      await bench.harness.write(tx, subject.id.digest);
      throw undone;
    });
    await assert.rejects(attempt, (error) => error === undone);
    assert.equal(await subject.read(), undefined);
    assert.equal((await released.view()).state, "in-progress");
    assert.equal(await bench.effects(subject), 0);
  }),
  clause("bind.fence", "a bound store fences like every other", async (bench) => {
    const subject = bench.subject();
    await subject.claimed();
    await bench.harness.transaction(async (_, bound) => {
      const inside = subject.through(bound);
      assert.equal((await inside.claim()).outcome, "in-progress");
      assert.equal(await inside.complete(newOwner()), false);
      assert.equal(await inside.renew(newOwner()), false);
      assert.equal(await inside.release(newOwner()), false);
    });
    assert.equal((await subject.view()).state, "in-progress");
  }),
];
