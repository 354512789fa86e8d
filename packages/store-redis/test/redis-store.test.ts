import { setTimeout as sleep } from "node:timers/promises";
import { createEngine, StoreError } from "@idemkit/engine";
import {
  claimed,
  loseAnswers,
  requestOf,
  roundTrips,
  startProxy,
  startRedis,
} from "@idemkit/test-servers";
import { Redis } from "ioredis";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { type CheckOptions, type RedisStoreOptions, redisStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { clients, redis } from "./clients.ts";
import { FOR_EVER_MS, primaryAndReplica } from "./replication.ts";

const outcome = { status: "succeeded", body: "b" } as const;

/** A store under a prefix of its own on the server that the tests share. */
let prefixes = 0;
function ownPrefix(): string {
  prefixes += 1;
  return `test-${process.pid}-${prefixes}:`;
}

function connected() {
  const client = redis(inject("redisUrl"), onTestFinished);
  const prefix = ownPrefix();
  return { client, prefix, store: redisStore(client, { prefix }) };
}

/** A server of this test's own. */
async function ownServer(settings: Readonly<Record<string, string>> = {}) {
  const server = await startRedis({ settings });
  onTestFinished(() => server.stop());
  return server;
}

test("a claim, a renewal, a completion, a replay and a read are one round trip each", async () => {
  const proxy = await startProxy(inject("redisUrl"));
  onTestFinished(() => proxy.stop());
  const client = redis(proxy.url, onTestFinished);
  const store = redisStore(client, { prefix: ownPrefix() });
  const play = (name: string, size: number) => roundTrips(proxy, store, name, size);
  await play("the server is sent its scripts first", 1);
  expect(await play("one", 1)).toEqual([1, 1, 1, 1, 1]);
  // What is answered while the rest of a list is still being sent does not count as waited for.
  for (const trips of await play("many", 30)) expect(trips).toBeLessThanOrEqual(2);
});

describe("what is stored", () => {
  test("a replay and a read write nothing", async () => {
    const server = await ownServer();
    const client = redis(server.url, onTestFinished);
    const store = redisStore(client);
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    await store.complete([{ ...claim, ...outcome }]);
    const changes = async () => /rdb_changes_since_last_save:(\d+)/.exec(await client.info())?.[1];
    const before = await changes();
    expect((await store.claim([requestOf("k")]))[0]).toMatchObject({ outcome: "completed" });
    await store.read([claim.id]);
    expect(await changes()).toBe(before);
  });

  test("open records stay for ever, and the others expire by themselves", async () => {
    const { client, store, prefix } = connected();
    const [open, done] = await claimed(store, [requestOf("open"), requestOf("done")]);
    if (open === undefined || done === undefined) throw new Error("expected two claims");
    await store.complete([{ ...done, ...outcome }]);
    const lives = (digest: string) => client.pttl(prefix + digest);
    expect(await lives(open.id.digest)).toBe(-1);
    expect(await lives(done.id.digest)).toBeGreaterThan(900_000);
    await elapse(client, 2_000_000, [open.id.digest, done.id.digest], { prefix });
    await sleep(10);
    expect(await client.exists(prefix + open.id.digest)).toBe(1);
    expect(await client.exists(prefix + done.id.digest)).toBe(0);
    expect(await store.purge(10)).toBe(0);
  });

  test("what is no record is passed over by list, though its name begins alike", async () => {
    const { client, store, prefix } = connected();
    const [open] = await claimed(store, [requestOf("open")]);
    await client.sadd(prefix + "a".repeat(32), "a set of somebody else");
    await client.set(prefix + "x".repeat(32), "not by its digest");
    const { records } = await store.list({ state: "in-progress", limit: 10 });
    expect(records.map(({ id }) => id.digest)).toEqual([open?.id.digest]);
  });

  test("a body of 4 MiB comes back as it was", async () => {
    const { store } = connected();
    const body = 'ä"\\{},\n'.repeat(600_000);
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    expect(await store.complete([{ ...claim, ...outcome, body }])).toEqual([true]);
    const [view] = await store.read([claim.id]);
    expect(view?.body === body).toBe(true);
  });

  test("a key prefix of the client is respected, by lists too", async () => {
    const client = new Redis(inject("redisUrl"), { keyPrefix: "app[1]:", stringNumbers: true });
    onTestFinished(async () => client.disconnect());
    const prefix = ownPrefix();
    const store = redisStore(client, { prefix });
    await claimed(store, [requestOf("a"), requestOf("b")]);
    await elapse(client, 100_000, [requestOf("a").id.digest], { prefix });
    const { records } = await store.list({ state: "lapsed", limit: 10 });
    expect(records.map(({ id }) => id.key)).toEqual(["a"]);
    const running = await store.list({ state: "in-progress", limit: 10 });
    expect(running.records.map(({ id }) => id.key)).toEqual(["b"]);
  });
});

describe("when something goes wrong", () => {
  test("a server that has forgotten the scripts is sent them again", async () => {
    const server = await ownServer();
    const client = redis(server.url, onTestFinished);
    const engine = createEngine({ store: redisStore(client) });
    await engine.execute("s", "a", null, () => 1);
    await client.script("FLUSH");
    const calls = ["b", "c", "d"].map((key) => engine.execute("s", key, null, () => key));
    expect((await Promise.all(calls)).map(({ value }) => value)).toEqual(["b", "c", "d"]);
  });

  test("an owner whose answer is cut off recognises itself, and nothing runs twice", async () => {
    const proxy = await startProxy(inject("redisUrl"));
    onTestFinished(() => proxy.stop());
    const client = redis(proxy.url, onTestFinished);
    const engine = createEngine({ store: redisStore(client, { prefix: ownPrefix() }) });
    await loseAnswers(() => proxy.loseAnswers(1), engine);
  });

  test("a server that is gone fails closed", async () => {
    const server = await ownServer();
    const client = redis(server.url, onTestFinished);
    const engine = createEngine({ store: redisStore(client), storeTimeoutMs: 1_000 });
    await engine.execute("s", "k", null, () => 1);
    await server.stop();
    const ran = () => {
      throw new Error("the function ran");
    };
    await expect(engine.execute("s", "k2", null, ran)).rejects.toBeInstanceOf(StoreError);
  });

  test("one entry that the server refuses fails alone", async () => {
    const { client, store, prefix } = connected();
    const engine = createEngine({ store });
    await engine.execute("s", "broken", null, () => 1);
    const digest = (await engine.inspect("s", "broken"))?.digest ?? "";
    await client.del(prefix + digest);
    await client.lpush(prefix + digest, "no string");
    const refused = engine
      .execute("s", "broken", null, () => 1)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    const calls = ["a", "b"].map((key) => engine.execute("s", key, null, () => key));
    expect((await Promise.all(calls)).map(({ value }) => value)).toEqual(["a", "b"]);
    expect(await refused).toMatchObject({
      code: "STORE_FAILED",
      cause: { message: expect.stringContaining("WRONGTYPE") },
    });
    await client.del(prefix + digest);
  });
});

describe("check", () => {
  test("reports versions and durability", async () => {
    const { store } = connected();
    expect(await store.check({ durability: "process-kill" })).toEqual({
      durability: "process-kill",
      serverVersion: expect.stringMatching(/^(redis|valkey) \d/),
      warnings: [],
    });
    await expect(store.check()).rejects.toThrow("set appendonly to yes, appendfsync to always");
  });

  test("finds that a server which syncs each write keeps what it has acknowledged", async () => {
    const server = await ownServer({ appendonly: "yes", appendfsync: "always" });
    const client = redis(server.url, onTestFinished);
    const store = redisStore(client);
    expect(await store.check()).toMatchObject({ durability: "power-loss" });
    // While the log is rewritten, nothing would be synced.
    await client.config("SET", "no-appendfsync-on-rewrite", "yes");
    await expect(store.check()).rejects.toThrow("no-appendfsync-on-rewrite to no");
  });

  test("refuses a server that evicts, and a replica", async () => {
    const server = await ownServer({ "maxmemory-policy": "allkeys-lru" });
    const client = redis(server.url, onTestFinished);
    const check = () => redisStore(client).check({ durability: "process-kill" });
    await expect(check()).rejects.toThrow("set it to noeviction");
    const { hostname, port } = new URL(inject("redisUrl"));
    await client.replicaof(hostname, Number(port));
    await expect(check()).rejects.toThrow("It is a replica");
  });

  test("warns about options of the client", async () => {
    const client = new Redis(inject("redisUrl"), {
      enableAutoPipelining: true,
      maxRetriesPerRequest: null,
    });
    onTestFinished(async () => client.disconnect());
    const { warnings } = await redisStore(client).check({ durability: "process-kill" });
    expect(warnings).toEqual([
      expect.stringContaining("enableAutoPipelining"),
      expect.stringContaining("maxRetriesPerRequest"),
    ]);
  });

  test("warns that a failover may lose outcomes, if replicas are attached and none is waited for", async () => {
    const { primary } = await primaryAndReplica(onTestFinished);
    const client = redis(primary.server.url, onTestFinished);
    const waitClient = redis(primary.server.url, onTestFinished);
    const check = async (options: RedisStoreOptions) =>
      (await redisStore(client, options).check({ durability: "process-kill" })).warnings;
    expect(await check({})).toEqual([
      expect.stringContaining("a failover may lose acknowledged outcomes"),
    ]);
    expect(await check({ replicas: 1, waitClient, replicaTimeoutMs: FOR_EVER_MS })).toEqual([]);
  });

  test("looks at every node of a cluster, and so does a list, before it is connected too", async () => {
    const cluster = () =>
      clients["a Cluster of ioredis 6"](inject("redisClusterUrls"), onTestFinished);
    const report = await redisStore(cluster()).check({ durability: "process-kill" });
    expect(report.durability).toBe("process-kill");
    const prefix = ownPrefix();
    const keys = Array.from({ length: 30 }, (_, index) => `k${index}`);
    await claimed(
      redisStore(cluster(), { prefix }),
      keys.map((key) => requestOf(key)),
    );
    const listed = await redisStore(cluster(), { prefix }).list({
      state: "in-progress",
      limit: 99,
    });
    expect(listed.records).toHaveLength(30);
  });

  test("refuses options that there are not", async () => {
    const { store } = connected();
    await expect(store.check({ durable: 1 } as CheckOptions)).rejects.toThrow("no such option");
    await expect(store.check({ durability: "ever" as never })).rejects.toThrow(
      "durability: expected 'none' or 'process-kill' or 'power-loss'",
    );
  });
});

test("check tells that the server does not answer, in time", async () => {
  const client = new Redis("redis://127.0.0.1:1", { lazyConnect: false });
  client.on("error", () => undefined);
  onTestFinished(() => client.disconnect());
  await expect(redisStore(client).check()).rejects.toThrow("Redis has not answered within 5000 ms");
});

test("check refuses a user who may not run scripts", async () => {
  const server = await ownServer();
  const admin = redis(server.url, onTestFinished);
  await admin.call("ACL", "SETUSER", "weak", "on", "nopass", "~*", "+@all", "-@scripting");
  const client = new Redis(server.url, { username: "weak", password: "any" });
  onTestFinished(() => client.disconnect());
  const refused = redisStore(client).check({ durability: "process-kill" });
  await expect(refused).rejects.toThrow("A claim on trial failed: NOPERM");
});

describe("wrong use", () => {
  const client = { evalsha: () => undefined, getrange: () => undefined, options: {} } as never;
  const cases: readonly (readonly [string, () => unknown, string])[] = [
    ["a URL", () => redisStore("redis://" as never), "got a value of type string"],
    ["nothing", () => redisStore(null as never), "got null"],
    ["an unknown option", () => redisStore(client, { ttl: 1 } as never), "ttl: no such option"],
    ["braces in the prefix", () => redisStore(client, { prefix: "{x}:" }), "prefix: expected"],
    ["an empty prefix", () => redisStore(client, { prefix: "" }), "prefix: expected"],
  ];
  for (const [what, use, message] of cases) {
    test(`with ${what} is refused`, () => {
      expect(use).toThrow(TypeError);
      expect(use).toThrow(message);
    });
  }
});
