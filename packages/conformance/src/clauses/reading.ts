import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import type { OpenState, RecordView, Store } from "@idemkit/engine";
import {
  assertAbout,
  clause,
  LEASE_MS,
  newOwner,
  RETENTION_MS,
  type Subject,
  TOLERANCE_MS,
} from "../bench.ts";

const PAGES_MAX = 10_000;
const PURGES_MAX = 10_000;
const PURGE_TRIES_MAX = 200;

/** All open records of a state that belong to the clause: the store may hold others too. */
async function listed(
  store: Store,
  state: OpenState,
  subjects: readonly Subject[],
  limit: number,
): Promise<readonly RecordView[]> {
  const digests = new Set(subjects.map(({ id }) => id.digest));
  const found: RecordView[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { records, next } = await store.list({ state, limit, ...(after && { after }) });
    assert.ok(records.length <= limit, `a page has at most ${limit} records`);
    found.push(...records);
    if (next === undefined) return found.filter(({ id }) => digests.has(id.digest));
    after = next;
  }
  return assert.fail(`list did not come to an end within ${PAGES_MAX} pages`);
}

/** Purges until nothing is due: on a shared database that takes others' records along. */
async function purgeAll(store: Store): Promise<void> {
  await letClockPassTokens();
  for (let round = 0; round < PURGES_MAX; round += 1) {
    if ((await store.purge(1_000)) === 0) return;
  }
  assert.fail(`purge still finds something after ${PURGES_MAX} rounds`);
}

/** A purge leaves a record whose token the clock has not passed, for a millisecond or so. */
async function letClockPassTokens(): Promise<void> {
  await setTimeout(2);
}

export const readingClauses = [
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
    await running.claimed();
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
    const expiresByItself = purged === 0;
    assert.ok(expiresByItself || purged >= subjects.length, `only ${purged} of 5 were purged`);
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

  clause(
    "token.purge",
    "a record whose token is ahead of the clock outlives a purge",
    async (bench) => {
      // Many attempts within a millisecond push the token ahead; each purge may come too early.
      const subject = bench.subject();
      let last = 0;
      for (let round = 0; round < 20; round += 1) {
        for (let attempt = 0; attempt < 10; attempt += 1) {
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

  clause("lists.empty", "an empty list is answered by an empty list", async (bench) => {
    const { first } = bench;
    assert.deepEqual(await first.claim([]), []);
    assert.deepEqual(await first.renew([]), []);
    assert.deepEqual(await first.complete([]), []);
    assert.deepEqual(await first.release([]), []);
    assert.deepEqual(await first.read([]), []);
  }),

  clause("lists.mixed", "answers come in the order of the entries, each its own", async (bench) => {
    const subjects = bench.subjects(12);
    const kinds = ["absent", "running", "done", "released"] as const;
    const owners: string[] = [];
    for (const [index, subject] of subjects.entries()) {
      const kind = kinds[index % kinds.length];
      const owner = kind === "absent" ? newOwner() : (await subject.claimed()).owner;
      if (kind === "done") await subject.complete(owner, { body: `body ${index}` });
      if (kind === "released") await subject.release(owner);
      owners.push(owner);
    }
    const claims = subjects.map(({ id }, index) => ({ id, owner: owners[index] ?? "" }));
    const views = await bench.second.read(subjects.map(({ id }) => id));
    assert.deepEqual(
      views.map((view) => view && [view.id.digest, view.state]),
      subjects.map(({ id }, index) => {
        const state = [undefined, "in-progress", "completed", "released"][index % kinds.length];
        return state && [id.digest, state];
      }),
    );
    const renewals = claims.map((claim) => ({ ...claim, leaseMs: LEASE_MS }));
    const isRunning = claims.map((_, index) => kinds[index % kinds.length] === "running");
    assert.deepEqual(await bench.first.renew(renewals), isRunning);
    const completions = claims.map((claim, index) => ({
      ...claim,
      status: "succeeded" as const,
      body: `body ${index}`,
    }));
    assert.deepEqual(
      await bench.first.complete(completions),
      claims.map((_, index) => ["running", "done"].includes(kinds[index % kinds.length] ?? "")),
    );
    const outcomes = await bench.second.claim(subjects.map((subject) => subject.request()));
    assert.deepEqual(
      outcomes.map((outcome) =>
        outcome.outcome === "completed" ? outcome.body : `${outcome.outcome} ${outcome.attempt}`,
      ),
      claims.map((_, index) => {
        const kind = kinds[index % kinds.length];
        if (kind === "absent") return "claimed 1";
        return kind === "released" ? "claimed 2" : `body ${index}`;
      }),
    );
    assert.deepEqual(
      await bench.first.release(claims),
      claims.map(() => false),
    );
  }),

  clause("lists.256", "a list may have 256 entries", async (bench) => {
    const subjects = bench.subjects(256);
    const requests = subjects.map((subject) => subject.request());
    const outcomes = await bench.first.claim(requests);
    assert.deepEqual(new Set(outcomes.map(({ outcome }) => outcome)), new Set(["claimed"]));
    const completions = requests.map(({ id, owner }, index) => ({
      id,
      owner,
      status: "succeeded" as const,
      body: `body ${index}`,
    }));
    assert.deepEqual(
      await bench.second.complete(completions),
      requests.map(() => true),
    );
    const again = await bench.second.claim(subjects.map((subject) => subject.request()));
    assert.deepEqual(
      again.map((outcome) => outcome.outcome === "completed" && outcome.body),
      completions.map(({ body }) => body),
    );
  }),
];

function facts({ state, status, body, expiresAt }: RecordView) {
  return [state, status, body, expiresAt !== undefined];
}
