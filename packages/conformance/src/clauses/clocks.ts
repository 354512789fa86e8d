import assert from "node:assert/strict";
import {
  assertAbout,
  type Bench,
  claimedList,
  clause,
  LEASE_MS,
  listed,
  RETENTION_MS,
  type Subject,
} from "../bench.ts";

/** More than each duration of these clauses: a time by the wrong clock is wrong by far. */
const WRONG_BY_MS = 3_600_000;

/** How long before its end a time is looked at, and how far clocks may be apart in rounding. */
const MARGIN_MS = 1_000;
const ROUNDING_MS = 50;
/** A try counts only if it took less than the margin. */
const TRIES_MAX = 10;
/** Durations that differ by fractions of a second: storage in whole seconds cannot keep them all. */
const FRACTIONS_MS = [0, 125, 250, 375, 500, 625, 750, 875] as const;

/** Makes one call while the client's clock is wrong. */
type Wrongly = <T>(call: () => Promise<T>) => Promise<T>;

/**
 * Sets this process's `Date` ahead for a call, as the clock of a client may be. Timers go on as they
 * were. The store is elsewhere, or takes its time from elsewhere, and must not notice.
 */
async function withDateAhead<T>(aheadMs: number, call: () => Promise<T>): Promise<T> {
  const right = globalThis.Date;
  globalThis.Date = new Proxy(right, {
    construct: (target, given, made) =>
      given.length === 0
        ? new target(target.now() + aheadMs)
        : (Reflect.construct(target, given, made) as Date),
    get: (target, name) =>
      name === "now" ? () => target.now() + aheadMs : (Reflect.get(target, name) as unknown),
  });
  try {
    return await call();
  } finally {
    globalThis.Date = right;
  }
}

/** Claims, renewals, reads and lists under a wrong clock show the right lease. */
async function checkRunning(bench: Bench, wrongly: Wrongly): Promise<void> {
  const { createdAt: nowMs } = await bench.subject().claimed();
  const subject = bench.subject();
  const { owner, token } = await wrongly(() => subject.claimed());
  const { createdAt, leaseRemainingMs } = await subject.view();
  assertAbout(createdAt, nowMs, "createdAt of a claim");
  assertAbout(token / 1_000, nowMs, "token of a claim, in milliseconds");
  assertAbout(leaseRemainingMs, LEASE_MS, "lease of a claim");
  assert.equal(await wrongly(() => subject.renew(owner)), true);
  assertAbout((await subject.view()).leaseRemainingMs, LEASE_MS, "lease of a renewal");
  const other = await wrongly(() => subject.claim({ takeOver: true }));
  assert.ok(other.outcome === "in-progress", `a lease that runs: ${other.outcome}`);
  assertAbout(other.leaseRemainingMs, LEASE_MS, "lease that another claim is shown");
  const settled = await wrongly(() => subject.complete(owner, { ifLapsed: true }));
  assert.equal(settled, false, "a lease that runs is not overruled");
  assertAbout((await wrongly(() => subject.view())).leaseRemainingMs, LEASE_MS, "lease as read");
  const [shown] = await wrongly(() => listed(bench.first, "in-progress", [subject], 1_000));
  assertAbout(shown?.leaseRemainingMs, LEASE_MS, "lease as listed");
}

/** A lapsed claim is reported, settled and taken over, and no claim that runs. */
async function checkLapsed(bench: Bench, wrongly: Wrongly): Promise<void> {
  const [taken, settled] = bench.subjects(2) as [Subject, Subject];
  await taken.claimed();
  const { owner } = await settled.claimed();
  await bench.elapse(2 * LEASE_MS);
  assert.equal((await wrongly(() => taken.view())).state, "lapsed");
  assert.equal((await wrongly(() => taken.claim())).outcome, "lapsed");
  const found = await wrongly(() => listed(bench.first, "lapsed", [taken, settled], 1_000));
  assert.equal(found.length, 2, "lapsed claims are listed as lapsed");
  const early = { takeOver: true, takeOverAfterMs: 3 * LEASE_MS };
  assert.equal((await wrongly(() => taken.claim(early))).outcome, "lapsed");
  const late = { takeOver: true, takeOverAfterMs: LEASE_MS / 2 };
  assert.equal((await wrongly(() => taken.claim(late))).outcome, "claimed");
  assertAbout((await taken.view()).leaseRemainingMs, LEASE_MS, "lease of a take-over");
  assert.equal(await wrongly(() => settled.complete(owner, { ifLapsed: true })), true);
}

/** An outcome has its right age, and lives for its retention. */
async function checkOutcome(bench: Bench, wrongly: Wrongly): Promise<void> {
  const subject = bench.subject();
  const { owner, token, createdAt: nowMs } = await subject.claimed();
  const retentionMs = 2 * RETENTION_MS;
  assert.equal(await wrongly(() => subject.complete(owner, { retentionMs })), true);
  const view = await subject.view();
  assertAbout(view.completedAt, nowMs, "completedAt");
  assertAbout(view.expiresAt, nowMs + retentionMs, "expiresAt");
  assert.deepEqual(await wrongly(() => subject.read()), view);
  const replay = await wrongly(() => subject.claim());
  assert.ok(replay.outcome === "completed", `an outcome that lives: ${replay.outcome}`);
  assertAbout(replay.ageMs, 0, "ageMs");
  assert.equal(await wrongly(() => subject.complete(owner, { retentionMs })), true, "repeated");
  await wrongly(() => bench.first.purge(1_000));
  assert.deepEqual(await subject.read(), view, "an outcome that lives is not purged");
  assert.equal(await wrongly(() => subject.remove(token)), true);
  assert.equal((await subject.view()).state, "released");
}

/** A released record is there until it expires. */
async function checkReleased(bench: Bench, wrongly: Wrongly): Promise<void> {
  const subject = bench.subject();
  const { owner } = await subject.claimed();
  assert.equal(await wrongly(() => subject.release(owner)), true);
  assert.equal(await wrongly(() => subject.release(owner)), true, "repeated");
  assert.equal((await wrongly(() => subject.claimed())).attempt, 2);
  const { leaseRemainingMs } = await subject.view();
  assertAbout(leaseRemainingMs, LEASE_MS, "lease of a claim after a release");
}

/** An expired record is absent. */
async function checkExpired(bench: Bench, wrongly: Wrongly): Promise<void> {
  const [done, released] = bench.subjects(2) as [Subject, Subject];
  const { owner, token } = await done.claimed();
  await done.complete(owner);
  const claim = await released.claimed();
  await released.release(claim.owner);
  await bench.elapse(RETENTION_MS);
  assert.equal(await wrongly(() => done.read()), undefined);
  assert.equal(await wrongly(() => done.complete(owner)), false);
  assert.equal(await wrongly(() => done.remove(token)), false);
  assert.equal(await wrongly(() => released.release(claim.owner)), false);
  for (const subject of [done, released]) {
    assert.equal((await wrongly(() => subject.claimed())).attempt, 1);
  }
}

/** Lets a lease, a wait before a take-over and a retention come to a moment before their ends. */
async function checkShortlyBefore(bench: Bench): Promise<() => void> {
  const [running, waiting, done] = bench.subjects(3) as [Subject, Subject, Subject];
  const passedMs = 2 * LEASE_MS;
  const endMs = passedMs + MARGIN_MS;
  const { owner } = await running.claimed({ leaseMs: endMs });
  await waiting.claimed({ leaseMs: LEASE_MS });
  await done.complete((await done.claimed({ retentionMs: endMs })).owner);
  await bench.elapse(passedMs);
  const taken = await running.claim({ takeOver: true });
  const isSettled = await running.complete(owner, { ifLapsed: true });
  const takeOverAfterMs = endMs - LEASE_MS;
  const tooEarly = await waiting.claim({ takeOver: true, takeOverAfterMs });
  await bench.second.purge(1_000);
  const replay = await done.claim();
  const view = await running.view();
  return () => {
    assert.equal(taken.outcome, "in-progress", "a lease that ends in a moment");
    assert.equal(isSettled, false, "a lease that ends in a moment is not overruled");
    assert.equal(view.state, "in-progress", "a lease that ends in a moment, as read");
    assert.equal(tooEarly.outcome, "lapsed", "a take-over that has to wait for a moment");
    assert.equal(replay.outcome, "completed", "an outcome that expires in a moment");
  };
}

export const clockClauses = [
  clause("time.client-clock", "a client's clock decides nothing", async (bench) => {
    for (const aheadMs of bench.usesDate ? [0] : [WRONG_BY_MS, -WRONG_BY_MS]) {
      const wrongly: Wrongly = (call) => withDateAhead(aheadMs, call);
      await checkRunning(bench, wrongly);
      await checkLapsed(bench, wrongly);
      await checkOutcome(bench, wrongly);
      await checkReleased(bench, wrongly);
      await checkExpired(bench, wrongly);
    }
  }),

  clause("time.precise", "durations are kept to the millisecond", async (bench) => {
    const cases = FRACTIONS_MS.map((ms) => {
      return { subject: bench.subject(), leaseMs: LEASE_MS + ms, retentionMs: RETENTION_MS + ms };
    });
    const startedMs = performance.now();
    const requests = cases.map(({ subject, ...given }) => subject.request(given));
    const claims = await claimedList(bench.first, requests);
    const ids = claims.map(({ id }) => id);
    const running = await bench.second.read(ids);
    const tookMs = performance.now() - startedMs;
    const outcome = { status: "succeeded", body: "body" } as const;
    await bench.first.complete(claims.map((claim) => ({ ...claim, ...outcome })));
    const done = await bench.second.read(ids);
    for (const [index, { leaseMs, retentionMs }] of cases.entries()) {
      const { leaseRemainingMs = 0, createdAt = 0 } = running[index] ?? {};
      const shortBy = leaseMs - leaseRemainingMs;
      const isRight = shortBy >= -ROUNDING_MS && shortBy <= tookMs + ROUNDING_MS;
      assert.ok(isRight, `a lease of ${leaseMs} ms is shown as ${leaseRemainingMs} ms`);
      const livesMs = (done[index]?.expiresAt ?? 0) - createdAt;
      const isKept = Math.abs(livesMs - retentionMs) <= ROUNDING_MS;
      assert.ok(isKept, `a retention of ${retentionMs} ms is kept as ${livesMs} ms`);
    }
  }),

  clause("time.early", "no time is over a moment too early", async (bench) => {
    for (let tried = 0; tried < TRIES_MAX; tried += 1) {
      const startedMs = performance.now();
      const check = await checkShortlyBefore(bench);
      // On a slow machine the moment itself has passed.
      if (performance.now() - startedMs < MARGIN_MS - ROUNDING_MS) return check();
    }
    assert.fail(`not checked: each of ${TRIES_MAX} tries took longer than ${MARGIN_MS} ms`);
  }),
];
