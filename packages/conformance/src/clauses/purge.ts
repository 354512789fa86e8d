import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import type { Store } from "@idemkit/engine";
import { clause, LEASE_MS, RETENTION_MS, type Subject, TOLERANCE_MS } from "../bench.ts";

const PURGES_MAX = 10_000;
const PURGE_TRIES_MAX = 200;

/** Purges until nothing is due: on a shared database that takes others' records along. */
export async function purgeAll(store: Store): Promise<void> {
  await letClockPassTokens();
  for (let round = 0; round < PURGES_MAX; round += 1) {
    if ((await store.purge(1_000)) === 0) return;
  }
  assert.fail(`purge still finds something after ${PURGES_MAX} rounds`);
}

/** A purge leaves a record whose token the clock has not passed, for a millisecond or so. */
export async function letClockPassTokens(): Promise<void> {
  await setTimeout(2);
}

export const purgeClauses = [
  clause("purge.expired", "what has expired is purged, in batches of the limit", async (bench) => {
    const subjects = bench.subjects(5);
    for (const [index, subject] of subjects.entries()) {
      const { owner } = await subject.claimed();
      if (index === 0) await subject.release(owner);
      else await subject.complete(owner, { status: index === 1 ? "failed" : "succeeded" });
    }
    await bench.elapse(RETENTION_MS);
    let purged = 0;
    for (let tried = 0; tried < PURGE_TRIES_MAX && purged < subjects.length; tried += 1) {
      const count = await bench.handle(tried).purge(2);
      assert.ok(count <= 2, `purge(2) removed ${count}`);
      purged += count;
      await letClockPassTokens();
    }
    if (!bench.expiresByItself) assert.ok(purged >= subjects.length, `${purged} of 5 were purged`);
    for (const subject of subjects) assert.equal(await subject.read(), undefined);
  }),
  clause(
    "purge.not-due",
    "nothing is purged before it expires, or while it is open",
    async (bench) => {
      const [done, lapsed, unknown] = bench.subjects(3) as [Subject, Subject, Subject];
      await lapsed.claimed();
      await unknown.complete((await unknown.claimed()).owner, { status: "unknown" });
      await bench.elapse(2 * RETENTION_MS);
      await done.complete((await done.claimed()).owner);
      await bench.elapse(RETENTION_MS - TOLERANCE_MS);
      await purgeAll(bench.first);
      assert.equal((await done.view()).state, "completed");
      assert.equal((await lapsed.view()).state, "lapsed");
      assert.equal((await unknown.view()).state, "unknown");
    },
  ),
  clause("token.order", "tokens of a record only grow, whatever happens to it", async (bench) => {
    const subject = bench.subject();
    let last = 0;
    const expectGreater = async (takeOver = false) => {
      const claimed = await subject.claimed({ takeOver });
      assert.ok(Number.isSafeInteger(claimed.token), "expected a safe integer");
      assert.ok(claimed.token > last, `expected more than ${last}, got ${claimed.token}`);
      last = claimed.token;
      return claimed.owner;
    };
    const released = await expectGreater();
    await subject.release(released);
    await expectGreater();
    await bench.elapse(LEASE_MS);
    await expectGreater(true);
    await subject.remove(last);
    await subject.complete(await expectGreater());
    await bench.elapse(RETENTION_MS);
    await subject.complete(await expectGreater());
    await bench.elapse(RETENTION_MS);
    await purgeAll(bench.second);
    await expectGreater();
  }),
  clause("token.handles", "tokens of a record grow through every handle", async (bench) => {
    const subject = bench.subject();
    let last = 0;
    for (let round = 0; round < 4; round += 1) {
      const { owner, token } = await subject.through(bench.handle(round)).claimed();
      assert.ok(token > last, `round ${round}: expected more than ${last}, got ${token}`);
      last = token;
      await subject.complete(owner);
      await bench.elapse(RETENTION_MS);
      // Where nothing is left of the record, only the clock keeps its tokens in order.
      await purgeAll(bench.first);
    }
  }),
  clause(
    "token.purge",
    "a record whose token is ahead of the clock outlives a purge",
    async (bench) => {
      // Many attempts within a millisecond push the token ahead, and one alone is level with the
      // clock: each purge may come too early.
      const subject = bench.subject();
      let last = 0;
      for (let round = 0; round < 20; round += 1) {
        const isAlone = round % 2 === 1;
        if (isAlone) await letClockPassTokens();
        for (let attempt = 0; attempt < (isAlone ? 1 : 10); attempt += 1) {
          const { owner, token } = await subject.claimed();
          assert.ok(token > last, `expected more than ${last}, got ${token}`);
          last = token;
          await subject.release(owner);
        }
        await bench.elapse(RETENTION_MS);
        await bench.handle(round).purge(1_000);
      }
      await purgeAll(bench.first);
      assert.equal(await subject.read(), undefined);
    },
  ),
];
