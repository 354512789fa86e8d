import assert from "node:assert/strict";
import { createEngine, type Engine, type Store, type TransactionalStore } from "@idemkit/engine";
import type { TestProxy } from "./proxy.ts";
import { claimed, requestOf } from "./requests.ts";

const LOST_ANSWERS = 20;
const TRANSACTIONS = 8;

/**
 * Claims, renews, completes, replays and reads so many records in lists, and answers how many round
 * trips each of these took.
 */
export async function roundTrips(
  proxy: TestProxy,
  store: Store,
  name: string,
  size: number,
): Promise<readonly number[]> {
  const requests = Array.from({ length: size }, (_, index) => requestOf(`${name} ${index}`));
  const spent: number[] = [];
  const counted = async <T>(work: Promise<T>) => {
    const result = await work;
    spent.push(proxy.roundTrips);
    proxy.reset();
    return result;
  };
  const outcome = { status: "succeeded", body: "b" } as const;
  proxy.reset();
  const claims = await counted(claimed(store, requests));
  await counted(store.renew(claims.map((claim) => ({ ...claim, leaseMs: 1_000 }))));
  await counted(store.complete(claims.map((claim) => ({ ...claim, ...outcome }))));
  await counted(store.claim(requests.map(({ id }) => requestOf(id.key))));
  await counted(store.read(requests.map(({ id }) => id)));
  return spent;
}

/**
 * Lets the server do what it is asked, and cuts off its answer: to the claim in one round, to the
 * completion in the next. Rejects unless the owner recognises itself, and nothing runs twice.
 *
 * @param lose sees to it that the next answer to something written is lost
 */
export async function loseAnswers(lose: () => void, engine: Engine): Promise<void> {
  await engine.execute("s", "warm", null, () => 0);
  for (let round = 0; round < LOST_ANSWERS; round += 1) {
    const isClaimLost = round % 2 === 0;
    let runs = 0;
    const fn = () => {
      runs += 1;
      if (!isClaimLost) lose();
      return runs;
    };
    if (isClaimLost) lose();
    const first = await engine.execute("s", `k${round}`, null, fn);
    assert.deepEqual(
      [first.value, first.attempt, first.replayed || first.recorded, first.replayed],
      [1, 1, true, false],
    );
    const again = await engine.execute("s", `k${round}`, null, fn);
    assert.deepEqual([again.value, again.replayed, runs], [1, true, 1]);
  }
}

/** The least round trips of a first transaction whose work makes none, the read before it included. */
export async function roundTripsOfTransaction(proxy: TestProxy, store: Store): Promise<number> {
  const engine = createEngine({ store: store as TransactionalStore<unknown, false> });
  const spent: number[] = [];
  for (let round = 0; round < TRANSACTIONS; round += 1) {
    proxy.reset();
    await engine.transaction("trips", `${round}`, null, async () => 1);
    spent.push(proxy.roundTrips);
  }
  // Statements are prepared now and then, and so are connections.
  return Math.min(...spent);
}

/** Loses the answer to a COMMIT: the transaction has to be known as committed, and run once. */
export async function loseCommit(proxy: TestProxy, store: Store): Promise<void> {
  const engine = createEngine({ store: store as TransactionalStore<unknown, false> });
  let runs = 0;
  const outcome = await engine.transaction("orders", "k", 1, async () => {
    runs += 1;
    proxy.loseAnswerTo(/commit/i);
    return "done";
  });
  assert.deepEqual([outcome.value, outcome.replayed, runs], ["done", false, 1]);
  assert.equal((await engine.inspect("orders", "k"))?.value, "done");
  const other = await engine.transaction("orders", "other", 1, async () => "as before");
  assert.equal(other.value, "as before", "its connections are fit for use");
}
