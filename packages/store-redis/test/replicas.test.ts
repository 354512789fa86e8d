import { createEngine, StoreError } from "@idemkit/engine";
import { claimed, requestOf, startProxy, startRedis } from "@idemkit/test-servers";
import { Redis } from "ioredis";
import { describe, expect, inject, onTestFinished, test, vi } from "vitest";
import { redisStore } from "../src/index.ts";
import { clients, redis } from "./clients.ts";

/** A primary, and a replica that has caught up. */
async function primaryAndReplica() {
  const primary = await startRedis({ settings: { "repl-diskless-sync-delay": "0" } });
  const { hostname, port } = new URL(primary.url);
  const replica = await startRedis({ settings: { replicaof: `${hostname} ${port}` } });
  onTestFinished(async () => {
    await Promise.all([primary.stop(), replica.stop()]);
  });
  const second = redis(replica.url, onTestFinished);
  const replication = () => second.info("replication");
  await expect.poll(replication, { timeout: 20_000 }).toContain("master_link_status:up");
  return { primary, replica, second };
}

describe("with replicas: 1", () => {
  test("a failover to the replica forgets no claim and no outcome", async () => {
    const { primary, second } = await primaryAndReplica();
    const client = redis(primary.url, onTestFinished);
    const store = redisStore(client, { replicas: 1 });
    await store.check({ durability: "process-kill" });
    const engine = createEngine({ store });
    const calls = Array.from({ length: 100 }, (_, n) =>
      engine.execute("s", `k${n}`, null, () => n),
    );
    await Promise.all(calls);
    const open = await claimed(store, [requestOf("open")]);
    await primary.stop();
    await second.replicaof("NO", "ONE");
    const after = redisStore(second);
    const replays = Array.from({ length: 100 }, (_, n) =>
      createEngine({ store: after }).execute("s", `k${n}`, null, () => "again"),
    );
    expect((await Promise.all(replays)).map(({ value }) => value)).toEqual(calls.map((_, n) => n));
    const [view] = await after.read(open.map(({ id }) => id));
    expect(view?.owner).toBe(open[0]?.owner);
  });

  test("a claim that no replica has fails, and nothing runs", async () => {
    const { primary, replica } = await primaryAndReplica();
    const client = redis(primary.url, onTestFinished);
    const store = redisStore(client, { replicas: 1, replicaTimeoutMs: 50 });
    await replica.stop();
    const engine = createEngine({ store, storeTimeoutMs: 1_000 });
    const refused = engine.execute("s", "k", null, () => {
      throw new Error("the function ran");
    });
    await expect(refused).rejects.toBeInstanceOf(StoreError);
    await expect(refused).rejects.toMatchObject({
      cause: { message: "0 of 1 replicas had what was written within 50 ms." },
    });
    await expect(store.check({ durability: "process-kill" })).rejects.toThrow(
      "It has 0 replicas where replicas: 1 was asked for",
    );
  });

  test("another connection cannot vouch for what was written on the one before", async () => {
    const { primary } = await primaryAndReplica();
    const proxy = await startProxy(primary.url);
    onTestFinished(() => proxy.stop());
    const client = new Redis(proxy.url, { maxRetriesPerRequest: 5 });
    onTestFinished(() => client.disconnect());
    const store = redisStore(client, { replicas: 1 });
    const wait = client.wait.bind(client);
    vi.spyOn(client, "wait").mockImplementation(async (replicas, timeoutMs) => {
      // The answer to WAIT is lost, and ioredis asks again on a connection that has written nothing.
      proxy.loseAnswers(1);
      return await wait(replicas, timeoutMs);
    });
    await client.ping();
    await expect(store.claim([requestOf("k")])).rejects.toThrow("The connection to Redis was lost");
  });
});

describe("wrong use", () => {
  test("replicas of a cluster are refused", () => {
    const cluster = clients["a Cluster of ioredis 6"](inject("redisClusterUrls"), onTestFinished);
    expect(() => redisStore(cluster, { replicas: 1 })).toThrow(
      "replicas: expected 0 for a Cluster",
    );
  });

  test("numbers out of bounds are refused", () => {
    const client = new Redis({ lazyConnect: true });
    expect(() => redisStore(client, { replicas: -1 })).toThrow("replicas: expected a whole number");
    expect(() => redisStore(client, { replicas: 1, replicaTimeoutMs: 0 })).toThrow(
      "replicaTimeoutMs: expected a whole number from 1 to 60000",
    );
  });
});
