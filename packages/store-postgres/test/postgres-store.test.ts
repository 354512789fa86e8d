import { setTimeout as sleep } from "node:timers/promises";
import { createEngine, StoreError } from "@idemkit/engine";
import {
  claimed,
  requestOf,
  roundTrips,
  roundTripsOfTransaction,
  startPostgres,
  startProxy,
} from "@idemkit/test-servers";
import pg from "pg";
import postgres from "postgres";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate, type PostgresClient, postgresStore } from "../src/index.ts";
import { CLAIM_AGAIN } from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { pool, sql } from "./clients.ts";
import { database } from "./database.ts";

const outcome = { status: "succeeded", body: "b" } as const;

/** A pool on a new database with idemkit's tables. */
async function migrated(options: pg.PoolConfig = {}) {
  const url = await database();
  const client = pool(url, onTestFinished, options);
  await migrate(client);
  return { client, url };
}

describe("round trips, counted by a proxy", () => {
  for (const [name, connect] of Object.entries({ pg: pool, "postgres.js": sql })) {
    test(`a claim, a completion, a replay and a read are one each on ${name}`, async () => {
      const proxy = await startProxy(await database());
      onTestFinished(() => proxy.stop());
      const client = connect(proxy.url, onTestFinished);
      await migrate(client);
      const store = postgresStore(client);
      const play = (name: string, size: number) => roundTrips(proxy, store, name, size);
      // A connection prepares its statements first, and anew under other names: not each time.
      const least = async (name: string, size: number) => {
        const plays: (readonly number[])[] = [];
        for (let round = 0; round < 4; round += 1) plays.push(await play(`${name} ${round}`, size));
        return plays[0]?.map((_, step) => Math.min(...plays.map((trips) => trips[step] ?? 0)));
      };
      expect(await least("one", 1)).toEqual([1, 1, 1, 1, 1]);
      expect(await least("many", 256)).toEqual([1, 1, 1, 1, 1]);
    });
  }

  test("a transaction is four beside its work on pg, and one read before it", async () => {
    const proxy = await startProxy(await database());
    onTestFinished(() => proxy.stop());
    const client = pool(proxy.url, onTestFinished);
    await migrate(client);
    expect(await roundTripsOfTransaction(proxy, postgresStore(client))).toBe(5);
  });
});

describe("what is written", () => {
  test("a replay writes nothing, takes no transaction id and locks no row", async () => {
    const { client } = await migrated({ max: 1 });
    const store = postgresStore(client);
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    await store.complete([{ ...claim, ...outcome }]);
    // Only the statement in between is in this transaction.
    await client.query("BEGIN");
    expect((await store.claim([requestOf("k")]))[0]).toMatchObject({ outcome: "completed" });
    const { rows } = await client.query(`
      SELECT txid_current_if_assigned() AS id,
        (SELECT count(*)::int FROM pg_locks WHERE locktype IN ('tuple', 'transactionid')) AS locks`);
    expect(rows).toEqual([{ id: null, locks: 0 }]);
    await client.query("COMMIT");
  });

  test("a completion within its retention touches no index", async () => {
    const { client } = await migrated();
    const store = postgresStore(client);
    for (let index = 0; index < 50; index += 1) {
      const claims = await claimed(store, [requestOf(`k${index}`)]);
      const retentionMs = 1_000_000;
      await store.complete(claims.map((claim) => ({ ...claim, ...outcome, retentionMs })));
    }
    const hot = async () => {
      const { rows } = await client.query<{ readonly n: number; readonly hot: number }>(`
        SELECT n_tup_upd::int AS n, n_tup_hot_upd::int AS hot
        FROM pg_stat_user_tables WHERE relname = 'idemkit_records'`);
      return rows[0];
    };
    await expect.poll(hot, { timeout: 15_000 }).toEqual({ n: 50, hot: 50 });
  });

  test("a body of 4 MiB comes back as it was, alone and in a list", async () => {
    const { client } = await migrated();
    const store = postgresStore(client);
    const body = 'ä"\\{},\n'.repeat(600_000);
    const claims = await claimed(store, [requestOf("a"), requestOf("b")]);
    expect(await store.complete(claims.map((claim) => ({ ...claim, ...outcome, body })))).toEqual([
      true,
      true,
    ]);
    const [view] = await store.read([requestOf("b").id]);
    expect(view?.body === body).toBe(true);
  });
});

describe("one that is stuck", () => {
  test("holds up nobody else: a locked row fails alone, and heartbeats go on", async () => {
    const { client } = await migrated();
    const store = postgresStore(client);
    const engine = createEngine({ store, storeTimeoutMs: 6_000, leaseMs: 1_500 });
    const beat = engine.begin("s", "running", null);
    const begun = await beat;
    if (begun.kind !== "execute") throw new Error("expected a claim");
    await engine.execute("s", "locked", null, () => 1);
    await client.query("UPDATE idemkit_records SET expires_at = 0 WHERE key = 'locked'");
    const locker = await client.connect();
    await locker.query("BEGIN");
    await locker.query("SELECT 1 FROM idemkit_records WHERE key = 'locked' FOR UPDATE");
    const stuck = engine
      .execute("s", "locked", null, () => 2)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    const others = Array.from({ length: 20 }, (_, index) =>
      engine.execute("s", `k${index}`, null, () => index),
    );
    const outcomes = await Promise.all(others);
    expect(outcomes.map(({ value }) => value)).toEqual(outcomes.map((_, index) => index));
    const error = await stuck;
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ cause: { code: "55P03" } });
    await locker.query("ROLLBACK");
    locker.release();
    expect(begun.claim.signal.aborted).toBe(false);
    expect(await begun.claim.complete(1)).toEqual({ recorded: true });
  });

  test("makes no lease look lapsed that was renewed while it was waited for", async () => {
    const { client } = await migrated();
    const store = postgresStore(client);
    const request = requestOf("renewed", { leaseMs: 300 });
    const [claim = expect.fail("not claimed")] = await claimed(store, [request]);
    const locker = await client.connect();
    await locker.query("BEGIN");
    const locked = requestOf("locked");
    await locker.query(
      `INSERT INTO idemkit_records SELECT $1::uuid, '', '', 'claimed', 'f', 'o', 1, 1, false, 1, 1, 1`,
      [locked.id.digest],
    );
    const rivals = store.claim([locked, requestOf("renewed")]);
    await sleep(100);
    expect(await store.renew([{ ...claim, leaseMs: 60_000 }])).toEqual([true]);
    await sleep(400);
    await locker.query("ROLLBACK");
    locker.release();
    expect((await rivals).map(({ outcome }) => outcome)).toEqual(["claimed", "in-progress"]);
  });

  test("a body that the server refuses fails alone", async () => {
    const { client } = await migrated();
    const store = postgresStore(client);
    const engine = createEngine({ store });
    await client.query(
      "ALTER TABLE idemkit_records ADD CHECK (body IS NULL OR body NOT LIKE '%poison%')",
    );
    const lost: unknown[] = [];
    engine.on("completion-lost", ({ error }) => lost.push(error));
    const calls = ["poison", "fine", "fine too"].map((value) =>
      engine.execute("s", value, null, () => value),
    );
    const outcomes = await Promise.all(calls);
    expect(outcomes.map((each) => each.replayed || each.recorded)).toEqual([false, true, true]);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toMatchObject({ cause: { code: "23514" } });
  });
});

describe("whatever the application has set on its client", () => {
  const read = async (client: PostgresClient) => {
    await migrate(client);
    const engine = createEngine({ store: postgresStore(client) });
    await engine.execute(["s"], "k", null, ({ attempt }) => ({ attempt }));
    expect(await engine.execute(["s"], "k", null, () => null)).toMatchObject({
      value: { attempt: 1 },
      replayed: true,
      token: expect.any(Number),
      createdAt: expect.any(Number),
    });
  };

  test("type parsers of pg do not matter", async () => {
    const types = { getTypeParser: () => () => "parsed" } as unknown as pg.CustomTypesConfig;
    await read(pool(await database(), onTestFinished, { types }));
  });

  test("transforms and types of postgres.js do not matter", async () => {
    const client = postgres(await database(), {
      transform: postgres.camel,
      types: { bigint: postgres.BigInt },
      onnotice: () => undefined,
    });
    onTestFinished(() => client.end());
    await read(client);
  });

  test("a stricter isolation makes rivals ask again, and one wins", async () => {
    const url = await database();
    const options = "-c default_transaction_isolation=serializable";
    const client = pool(url, onTestFinished, { options });
    await migrate(client);
    let runs = 0;
    const fn = () => {
      runs += 1;
      return "once";
    };
    const onDuplicate = { waitMs: 10_000 };
    const rivals = Array.from({ length: 8 }, () =>
      createEngine({ store: postgresStore(client), onDuplicate }).execute("s", "k", null, fn),
    );
    const outcomes = await Promise.all(rivals);
    expect(outcomes.map(({ value }) => value)).toEqual(rivals.map(() => "once"));
    expect(runs).toBe(1);
  });

  test("plans are not kept under names where that is switched off", async () => {
    const { client } = await migrated({ max: 1 });
    const store = postgresStore(client, { prepare: false });
    await claimed(store, [requestOf("k")]);
    expect((await client.query("SELECT * FROM pg_prepared_statements")).rows).toEqual([]);
  });

  test("the tables may be in a schema of their own", async () => {
    const { client } = await migrated();
    await migrate(client, { schema: "idem" });
    const store = postgresStore(client, { schema: "idem" });
    await store.check({ durability: "process-kill" });
    await claimed(store, [requestOf("k")]);
    expect((await client.query("SELECT key FROM idem.idemkit_records")).rows).toEqual([
      { key: "k" },
    ]);
    expect((await client.query("SELECT key FROM public.idemkit_records")).rows).toEqual([]);
  });
});

test("an own claim that ends while it is asked for again is not given again", async () => {
  const { client } = await migrated();
  const store = postgresStore(client);
  const request = requestOf("k");
  const [claim] = await claimed(store, [request]);
  if (claim === undefined) throw new Error("expected a claim");
  const meddling: PostgresClient = {
    totalCount: 0,
    connect: (callback) => client.connect(callback),
    query: async (config) => {
      if (config.text === CLAIM_AGAIN.one) await store.complete([{ ...claim, ...outcome }]);
      return client.query(config as never) as never;
    },
  };
  const [again] = await postgresStore(meddling).claim([request]);
  expect(again).toMatchObject({ outcome: "completed", body: "b", token: claim.token });
});

describe("wrong use", () => {
  const cases: readonly (readonly [string, () => unknown, string])[] = [
    ["a URL", () => postgresStore("postgres://" as never), "got a value of type string"],
    ["nothing", () => postgresStore(null as never), "got null"],
    [
      "a single client of pg",
      () => postgresStore(new pg.Client() as never),
      "calls of others would run inside its transactions",
    ],
    [
      "an unknown option",
      () => postgresStore(new pg.Pool(), { table: "x" } as never),
      "table: no such option. Expected schema or prepare.",
    ],
    [
      "a schema that is no plain name",
      () => postgresStore(new pg.Pool(), { schema: 'x"; DROP TABLE y' }),
      "schema: expected a name of 1 to 63 lower-case letters",
    ],
    [
      "prepare as a number",
      () => postgresStore(new pg.Pool(), { prepare: 1 as never }),
      "prepare: expected true or false",
    ],
  ];
  for (const [what, use, message] of cases) {
    test(`with ${what} is refused`, () => {
      expect(use).toThrow(TypeError);
      expect(use).toThrow(message);
    });
  }

  test("with an open transaction of postgres.js is refused", async () => {
    const client = sql(await database(), onTestFinished);
    const reserved = await client.reserve();
    expect(() => postgresStore(reserved as never)).toThrow("a reserved connection");
    reserved.release();
    await client.begin(async (inner) => {
      expect(() => postgresStore(inner as never)).toThrow("an open transaction");
    });
  });
});

describe("where the database is not there", () => {
  const ran = () => {
    throw new Error("the function ran");
  };

  test("missing tables are told with advice, and nothing runs", async () => {
    const engine = createEngine({ store: postgresStore(pool(await database(), onTestFinished)) });
    const refused = engine.execute("s", "k", null, ran);
    await expect(refused).rejects.toBeInstanceOf(StoreError);
    await expect(refused).rejects.toMatchObject({
      cause: { message: expect.stringContaining("call `await migrate(client)` once") },
    });
  });

  test("a server that is gone fails closed", async () => {
    const server = await startPostgres({ settings: {} });
    const client = pool(server.url, onTestFinished);
    await migrate(client);
    const engine = createEngine({ store: postgresStore(client), storeTimeoutMs: 2_000 });
    await engine.execute("s", "k", null, () => 1);
    await server.stop();
    await expect(engine.execute("s", "k", null, ran)).rejects.toBeInstanceOf(StoreError);
  });

  test("a read-only server is told as such, and nothing runs", async () => {
    const { url } = await migrated();
    const options = "-c default_transaction_read_only=on";
    const client = pool(url, onTestFinished, { options });
    const engine = createEngine({ store: postgresStore(client) });
    await expect(engine.execute("s", "k", null, ran)).rejects.toMatchObject({
      cause: { message: expect.stringContaining("read-only") },
    });
  });

  test("an exhausted pool fails within storeTimeoutMs, and nothing runs", async () => {
    const { client } = await migrated({ max: 2 });
    const held = [await client.connect(), await client.connect()];
    const engine = createEngine({ store: postgresStore(client), storeTimeoutMs: 500 });
    await expect(engine.execute("s", "k", null, ran)).rejects.toMatchObject({
      code: "STORE_FAILED",
      cause: { code: "TIMED_OUT" },
    });
    for (const each of held) each.release();
    expect(await engine.execute("s", "k2", null, () => 1)).toMatchObject({ value: 1 });
  });
});

test("a purge takes what is expired, in batches, and skips what is locked", async () => {
  const { client } = await migrated();
  const store = postgresStore(client);
  const requests = Array.from({ length: 30 }, (_, index) => requestOf(`k${index}`));
  const claims = await claimed(store, requests);
  await store.complete(claims.slice(0, 20).map((claim) => ({ ...claim, ...outcome })));
  await elapse(client, 10_000_000);
  const locker = await client.connect();
  await locker.query("BEGIN");
  await locker.query("SELECT 1 FROM idemkit_records WHERE key = 'k0' FOR UPDATE");
  expect(await store.purge(15)).toBe(15);
  expect(await store.purge(15)).toBe(4);
  await locker.query("ROLLBACK");
  locker.release();
  expect(await store.purge(15)).toBe(1);
  expect(await store.purge(15)).toBe(0);
  expect((await store.list({ state: "lapsed", limit: 100 })).records).toHaveLength(10);
});
