import { createEngine, StoreError } from "@idemkit/engine";
import { claimed, requestOf, startProxy } from "@idemkit/test-servers";
import { Redis } from "ioredis";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  onTestFinished,
  test,
  vi,
} from "vitest";
import { type RedisStoreOptions, redisStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { clients, redis } from "./clients.ts";
import {
  cutOff,
  FOR_EVER_MS,
  type Node,
  primaryAndReplica,
  promote,
  replicatedStore,
  untilMarked,
  untilWaitBlocks,
} from "./replication.ts";

const outcome = { status: "succeeded", body: "b" } as const;
const SHORT = { replicaTimeoutMs: 100 };
const PATIENT = { replicaTimeoutMs: FOR_EVER_MS };

function storeOn({ server }: Node, options: RedisStoreOptions = {}) {
  return replicatedStore(server.url, onTestFinished, options);
}

/** A store that waits for nothing, for what is to be on the primary alone. */
function hastyStoreOn({ server }: Node) {
  return redisStore(redis(server.url, onTestFinished));
}

async function claimOf(store: ReturnType<typeof storeOn>, key: string) {
  const [claim] = await claimed(store, [requestOf(key)]);
  if (claim === undefined) throw new Error("expected a claim");
  return claim;
}

function neverRuns(): never {
  throw new Error("the function ran");
}

describe("a failover with replicas: 1", () => {
  test("forgets no claim and no outcome", async () => {
    const { primary, replica } = await primaryAndReplica(onTestFinished);
    const store = storeOn(primary, PATIENT);
    await store.check({ durability: "process-kill" });
    const engine = createEngine({ store });
    const calls = Array.from({ length: 100 }, (_, n) =>
      engine.execute("s", `k${n}`, null, () => n),
    );
    await Promise.all(calls);
    const open = await claimed(store, [requestOf("open")]);
    await primary.server.stop();
    await promote(replica);
    const after = hastyStoreOn(replica);
    const replays = Array.from({ length: 100 }, (_, n) =>
      createEngine({ store: after }).execute("s", `k${n}`, null, () => "again"),
    );
    expect((await Promise.all(replays)).map(({ value }) => value)).toEqual(calls.map((_, n) => n));
    const [view] = await after.read(open.map(({ id }) => id));
    expect(view?.owner).toBe(open[0]?.owner);
  });

  test("runs no step twice whose marker had not reached the replica", async () => {
    const { primary, replica } = await primaryAndReplica(onTestFinished);
    const runs: string[] = [];
    const steps = { steps: true, storeTimeoutMs: 5_000 };
    const store = storeOn(primary, { replicaTimeoutMs: 2_000 });
    const before = createEngine({ store, ...steps });
    const first = before.execute("s", "k", null, async ({ step }) => {
      await step("reserve", () => runs.push("reserve"));
      await cutOff(replica, primary);
      await step("charge", () => runs.push("charge"));
    });
    await first.catch(() => undefined);
    await primary.server.stop();
    replica.resume();
    await promote(replica);
    const after = createEngine({ store: hastyStoreOn(replica), ...steps });
    const digest = (await after.inspect("s", "k"))?.digest ?? "";
    await elapse(replica.client, 60_000, [digest]);
    await after.execute("s", "k", null, async ({ step }) => {
      await step("reserve", () => runs.push("reserve"));
      await step("charge", () => runs.push("charge"));
    });
    expect(runs).toEqual(["reserve", "charge"]);
  });
});

describe("while the replica is away", () => {
  let primary: Node;
  let replica: Node;
  const undos: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    ({ primary, replica } = await primaryAndReplica((undo) => undos.unshift(undo)));
  });
  beforeEach(async () => {
    await primary.client.set("caught", "up");
    expect(await primary.client.wait(1, FOR_EVER_MS)).toBe(1);
  });
  afterEach(() => replica.resume());
  afterAll(async () => {
    for (const undo of undos) await undo();
  });

  test("a claim fails, nothing runs, and its key is free again", async () => {
    const store = storeOn(primary, SHORT);
    const engine = createEngine({ store, storeTimeoutMs: 1_000 });
    await replica.pause();
    const refused = engine.execute("s", "k0", null, neverRuns);
    await expect(refused).rejects.toBeInstanceOf(StoreError);
    await expect(refused).rejects.toMatchObject({
      cause: { message: "0 of 1 replicas confirmed the write within 100 ms." },
    });
    expect(await engine.inspect("s", "k0")).toMatchObject({ state: "released" });
    replica.resume();
    const again = createEngine({ store: storeOn(primary, PATIENT) });
    expect(await again.execute("s", "k0", null, () => "ran")).toMatchObject({ value: "ran" });
  });

  test("a claim that took over lapses again", async () => {
    const store = storeOn(primary, SHORT);
    const first = await claimOf(storeOn(primary, PATIENT), "k1");
    await elapse(primary.client, 100_000, [first.id.digest]);
    await replica.pause();
    const request = requestOf("k1", { takeOver: true });
    await expect(store.claim([request])).rejects.toThrow("0 of 1 replicas");
    expect(await store.read([first.id])).toMatchObject([{ state: "lapsed", attempt: 2 }]);
    await expect(store.claim([request])).rejects.toThrow("0 of 1 replicas");
    expect(await store.read([first.id])).toMatchObject([{ state: "lapsed", attempt: 2 }]);
  });

  test("a claim that its owner has asked for before is not given back", async () => {
    const store = storeOn(primary, SHORT);
    const request = requestOf("k2");
    expect(await storeOn(primary, PATIENT).claim([request])).toMatchObject([
      { outcome: "claimed" },
    ]);
    await replica.pause();
    await expect(store.claim([request])).rejects.toThrow("0 of 1 replicas");
    expect(await store.read([request.id])).toMatchObject([{ state: "in-progress" }]);
  });

  test("an owner that asks again before its claim is given back does not get it", async () => {
    const store = storeOn(primary, { replicaTimeoutMs: 1_000 });
    const request = requestOf("k3");
    await replica.pause();
    const first = store.claim([request]);
    first.catch(() => replica.resume());
    await untilWaitBlocks(primary);
    const second = store.claim([requestOf("another3"), request]);
    await expect(first).rejects.toThrow("0 of 1 replicas");
    await expect(second).rejects.toThrow("0 of 1 replicas");
    expect(await store.read([request.id])).toMatchObject([{ state: "released" }]);
  });

  test("an outcome that had reached it is replayed without a wait", async () => {
    const engine = createEngine({ store: storeOn(primary, PATIENT) });
    await engine.execute("s", "done4", null, () => "first");
    const failed = engine.execute("s", "failed4", null, () => Promise.reject(new Error("no")));
    await expect(failed).rejects.toThrow("no");
    for (const key of ["done4", "failed4"]) {
      await untilMarked(primary, (await engine.inspect("s", key))?.digest);
    }
    await replica.pause();
    const replay = await engine.execute("s", "done4", null, neverRuns);
    expect([replay.value, replay.replayed]).toEqual(["first", true]);
    const failedAgain = engine.execute("s", "failed4", null, neverRuns);
    await expect(failedAgain).rejects.toMatchObject({ cause: { message: "no" } });
  });

  test("outcomes that had reached it are replayed beside hundreds of new calls", async () => {
    const settle = createEngine({ store: storeOn(primary, PATIENT) });
    const keys = Array.from({ length: 50 }, (_, n) => `many ${n}`);
    for (const key of keys) {
      await settle.execute("s", key, null, () => key);
      await untilMarked(primary, (await settle.inspect("s", key))?.digest);
    }
    await replica.pause();
    const engine = createEngine({ store: storeOn(primary), storeTimeoutMs: 15_000 });
    const fresh: Promise<unknown>[] = [];
    const replays: Promise<unknown>[] = [];
    for (const key of keys) {
      for (let n = 0; n < 10; n += 1) {
        fresh.push(engine.execute("s", `${key} ${n}`, null, neverRuns));
      }
      replays.push(engine.execute("s", key, null, neverRuns).then(({ value }) => value));
    }
    const refused = await Promise.allSettled(fresh);
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set(["rejected"]));
    expect(await Promise.all(replays)).toEqual(keys);
  });

  test("a claim waits again once the last failure is older than the timeout", async () => {
    const store = storeOn(primary, { replicaTimeoutMs: 2_000 });
    await replica.pause();
    await expect(store.claim([requestOf("before")])).rejects.toThrow("0 of 1 replicas");
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 2_000);
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    const claim = store.claim([requestOf("after")]);
    await untilWaitBlocks(primary);
    replica.resume();
    expect(await claim).toMatchObject([{ outcome: "claimed" }]);
  });

  test("an outcome that had not reached it is replayed once it has, and marked then", async () => {
    const store = storeOn(primary, SHORT);
    const claim = await claimOf(storeOn(primary, PATIENT), "k6");
    await replica.pause();
    const completion = { ...claim, ...outcome };
    await expect(store.complete([completion])).rejects.toThrow("0 of 1 replicas");
    await expect(store.claim([requestOf("k6")])).rejects.toThrow("0 of 1 replicas");
    const late = storeOn(primary, PATIENT).claim([requestOf("k6")]);
    await untilWaitBlocks(primary);
    replica.resume();
    expect(await late).toMatchObject([{ outcome: "completed", body: "b" }]);
    await untilMarked(primary, claim.id.digest);
    await replica.pause();
    expect(await store.claim([requestOf("k6")])).toMatchObject([
      { outcome: "completed", body: "b" },
    ]);
    expect(await store.complete([completion])).toEqual([true]);
  });

  test("an unknown outcome is never taken for replicated, as it can still change", async () => {
    const store = storeOn(primary, PATIENT);
    const claim = await claimOf(store, "k7");
    expect(await store.complete([{ ...claim, status: "unknown", body: "?" }])).toEqual([true]);
    const other = await claimOf(store, "other7");
    expect(await store.complete([{ ...other, ...outcome }])).toEqual([true]);
    await untilMarked(primary, other.id.digest);
    await replica.pause();
    await expect(storeOn(primary, SHORT).claim([requestOf("k7")])).rejects.toThrow(
      "0 of 1 replicas",
    );
  });

  test("a plain renewal waits for nothing, and one with a checkpoint does", async () => {
    const patient = storeOn(primary, PATIENT);
    const claim = await claimOf(patient, "k8");
    await replica.pause();
    const renewal = { ...claim, leaseMs: 5_000 };
    expect(await patient.renew([renewal])).toEqual([true]);
    const checkpoint = { revision: 1, value: "marker" };
    const marked = storeOn(primary, SHORT).renew([{ ...renewal, checkpoint }]);
    await expect(marked).rejects.toThrow("0 of 1 replicas confirmed the write within 100 ms.");
  });

  test("a command on the user's own client does not wait behind a WAIT", async () => {
    const user = redis(primary.server.url, onTestFinished);
    const waitClient = redis(primary.server.url, onTestFinished);
    const store = redisStore(user, { replicas: 1, waitClient, ...PATIENT });
    await replica.pause();
    const ended: string[] = [];
    const claim = store.claim([requestOf("k9")]).then(() => ended.push("claim"));
    await untilWaitBlocks(primary);
    await user.set("own", "value");
    ended.push(String(await user.get("own")));
    replica.resume();
    await claim;
    expect(ended).toEqual(["value", "claim"]);
  });

  test("check refuses the server", async () => {
    const { primary, replica } = await primaryAndReplica(onTestFinished);
    await replica.server.stop();
    await expect(storeOn(primary).check({ durability: "process-kill" })).rejects.toThrow(
      "It has 0 replicas where replicas: 1 was asked for",
    );
  });
});

describe("evidence of replicas", () => {
  test("a WAIT on a connection that has written nothing is none", async () => {
    const { primary, replica } = await primaryAndReplica(onTestFinished);
    const waitClient = new Redis(primary.server.url, { maxRetriesPerRequest: 5 });
    onTestFinished(() => waitClient.disconnect());
    const client = redis(primary.server.url, onTestFinished);
    const store = redisStore(client, { replicas: 1, waitClient, ...PATIENT });
    const bare = redis(primary.server.url, onTestFinished);
    await bare.ping();
    await replica.pause();
    await primary.client.set("own", "value");
    expect(await bare.wait(1, 1), "the replica has nothing of it").toBe(1);
    const claim = store.claim([requestOf("k")]);
    const id = await untilWaitBlocks(primary);
    // The client sends the same WAIT again, on a connection that has not written the marker.
    await primary.client.client("KILL", "ID", id);
    await expect.poll(() => untilWaitBlocks(primary), { timeout: 20_000 }).not.toBe(id);
    replica.resume();
    await expect(claim).rejects.toThrow("The connection of waitClient was lost");
  });

  test("a WAIT that was repeated because its result was lost is none", async () => {
    const { primary } = await primaryAndReplica(onTestFinished);
    const proxy = await startProxy(primary.server.url);
    onTestFinished(() => proxy.stop());
    const waitClient = new Redis(proxy.url, { maxRetriesPerRequest: 5 });
    onTestFinished(() => waitClient.disconnect());
    const client = redis(primary.server.url, onTestFinished);
    const store = redisStore(client, { replicas: 1, waitClient, ...PATIENT });
    await waitClient.ping();
    proxy.loseAnswerTo(/wait/i);
    await expect(store.claim([requestOf("k")])).rejects.toThrow(
      "The connection of waitClient was lost",
    );
  });

  test("the replica of another primary gives none", async () => {
    const [one, other] = await Promise.all([
      primaryAndReplica(onTestFinished),
      primaryAndReplica(onTestFinished),
    ]);
    const waitClient = redis(other.primary.server.url, onTestFinished);
    const client = redis(one.primary.server.url, onTestFinished);
    const store = redisStore(client, { replicas: 1, waitClient, ...PATIENT });
    await expect(store.claim([requestOf("k")])).rejects.toThrow("the history of another primary");
    await expect(store.check({ durability: "process-kill" })).rejects.toThrow(
      "waitClient is not connected to the primary of client",
    );
  });

  test("a primary that was demoted and promoted again in between gives none", async () => {
    const { primary, replica } = await primaryAndReplica(onTestFinished);
    const waitClient = redis(primary.server.url, onTestFinished);
    const client = redis(primary.server.url, onTestFinished);
    const store = redisStore(client, { replicas: 1, waitClient, ...PATIENT });
    await claimOf(store, "the server is sent its scripts first");
    const addressOf = ({ server: { url } }: Node) => {
      const { hostname, port } = new URL(url);
      return [hostname, Number(port)] as const;
    };
    const evalsha = client.evalsha.bind(client) as (...args: unknown[]) => Promise<unknown>;
    vi.spyOn(client, "evalsha").mockImplementationOnce((async (...args: unknown[]) => {
      const answer = await evalsha(...args);
      // Between the claim and the marker.
      await replica.client.replicaof("NO", "ONE");
      await primary.client.replicaof(...addressOf(replica));
      await primary.client.replicaof("NO", "ONE");
      await replica.client.replicaof(...addressOf(primary));
      return answer;
    }) as never);
    await expect(store.claim([requestOf("k")])).rejects.toThrow("the history of another primary");
  });
});

test("both clients may be of ioredis 5", async () => {
  const { primary } = await primaryAndReplica(onTestFinished);
  const connect = () => clients["ioredis 5"]([primary.server.url], onTestFinished);
  const options = { replicas: 1, waitClient: connect(), ...PATIENT };
  const engine = createEngine({ store: redisStore(connect(), options) });
  await engine.execute("s", "k", null, () => "first");
  await untilMarked(primary, (await engine.inspect("s", "k"))?.digest);
  expect(await engine.execute("s", "k", null, neverRuns)).toMatchObject({ value: "first" });
});

describe("wrong use", () => {
  test("replicas of a cluster are refused", () => {
    const cluster = clients["a Cluster of ioredis 6"](inject("redisClusterUrls"), onTestFinished);
    expect(() => redisStore(cluster, { replicas: 1 })).toThrow(
      "replicas: expected 0 for a Cluster",
    );
  });

  test("replicas without a second client are refused", () => {
    const client = new Redis({ lazyConnect: true });
    const cluster = clients["a Cluster of ioredis 6"](inject("redisClusterUrls"), onTestFinished);
    for (const waitClient of [undefined, client, cluster, {}]) {
      const make = () => redisStore(client, { replicas: 1, waitClient: waitClient as never });
      expect(make).toThrow(TypeError);
      expect(make).toThrow("waitClient: expected a second Redis of ioredis");
    }
  });

  test("numbers out of bounds are refused", () => {
    const client = new Redis({ lazyConnect: true });
    expect(() => redisStore(client, { replicas: -1 })).toThrow("replicas: expected a whole number");
    expect(() => redisStore(client, { replicas: 1, replicaTimeoutMs: 0 })).toThrow(
      "replicaTimeoutMs: expected a whole number from 1 to 60000",
    );
  });
});
