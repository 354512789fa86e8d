import { setTimeout as sleep } from "node:timers/promises";
import { createEngine, StoreError } from "@idemkit/engine";
import {
  claimed,
  requestOf,
  roundTrips,
  roundTripsOfTransaction,
  startMariaDb,
  startProxy,
} from "@idemkit/test-servers";
import {
  createConnection,
  createPoolCluster,
  type PoolOptions,
  type RowDataPacket,
} from "mysql2/promise";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database, servers } from "./database.ts";
import { intercepting } from "./intercepting.ts";

const outcome = { status: "succeeded", body: "b" } as const;
const INTERRUPTED = 1317;

/** A pool on a new database with idemkit's tables. */
async function migrated(server: string, options: PoolOptions = {}) {
  const url = await database(server);
  const client = pool(url, onTestFinished, options);
  await migrate(client);
  return { client, url };
}

describe.each(servers)("on %s", (_version, server) => {
  test("a replay, a completion and a read are one round trip, a first claim two or three", async () => {
    const proxy = await startProxy(await database(server));
    onTestFinished(() => proxy.stop());
    const client = pool(proxy.url, onTestFinished, { connectionLimit: 1 });
    await migrate(client);
    const store = mysqlStore(client);
    const play = (name: string, size: number) => roundTrips(proxy, store, name, size);
    await play("a connection prepares its statements first", 1);
    await play("and those for lists", 2);
    expect(await play("one", 1)).toEqual([2, 1, 1, 1, 1]);
    expect(await play("many", 256)).toEqual([3, 1, 1, 1, 1]);
  });

  test("a transaction is nine round trips beside its work, and one read before it", async () => {
    const proxy = await startProxy(await database(server));
    onTestFinished(() => proxy.stop());
    const client = pool(proxy.url, onTestFinished, { connectionLimit: 1 });
    await migrate(client);
    expect(await roundTripsOfTransaction(proxy, mysqlStore(client))).toBe(10);
  });

  test("a replay locks and writes nothing", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const claims = await claimed(store, [requestOf("k")]);
    await store.complete(claims.map((claim) => ({ ...claim, ...outcome })));
    const written = async () => {
      const [rows] = await client.query<RowDataPacket[]>(
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_rows_updated', 'Innodb_rows_inserted')",
      );
      return rows.map(({ Value }) => String(Value));
    };
    const locker = await client.getConnection();
    await locker.query("START TRANSACTION");
    await locker.query("SELECT 1 FROM idemkit_records FOR UPDATE");
    const before = await written();
    expect((await store.claim([requestOf("k")]))[0]).toMatchObject({ outcome: "completed" });
    expect(await written()).toEqual(before);
    await locker.query("ROLLBACK");
    locker.release();
  });

  test("a body of 4 MiB comes back as it was, alone and in a list", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const body = 'ä"\\{},\n'.repeat(600_000);
    const claims = await claimed(store, [requestOf("a"), requestOf("b")]);
    const completions = claims.map((claim) => ({ ...claim, ...outcome, body }));
    expect(await store.complete(completions.slice(0, 1))).toEqual([true]);
    expect(await store.complete(completions)).toEqual([true, true]);
    const [view] = await store.read([requestOf("b").id]);
    expect(view?.body === body).toBe(true);
  });

  test("texts are kept to the last blank, and told apart by it", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    expect(await store.complete([{ ...claim, ...outcome, body: "b " }])).toEqual([true]);
    expect(await store.complete([{ ...claim, ...outcome, body: "b" }])).toEqual([false]);
    const other = { ...claim, owner: `${claim.owner} ` };
    expect(await store.complete([{ ...other, ...outcome, body: "b " }])).toEqual([false]);
    expect((await store.read([claim.id]))[0]?.body).toBe("b ");
  });

  test("a locked row fails alone: others go on, and heartbeats", async () => {
    const { client } = await migrated(server, { connectionLimit: 20 });
    const engine = createEngine({
      store: mysqlStore(client),
      storeTimeoutMs: 8_000,
      leaseMs: 3_000,
    });
    const begun = await engine.begin("s", "running", null);
    if (begun.kind !== "execute") throw new Error("expected a claim");
    await engine.execute("s", "locked", null, () => 1);
    await client.query("UPDATE idemkit_records SET expires_at = 0 WHERE `key` = 'locked'");
    const locker = await client.getConnection();
    await locker.query("START TRANSACTION");
    const [[row] = []] = await client.query<RowDataPacket[]>(
      "SELECT digest FROM idemkit_records WHERE `key` = 'locked'",
    );
    // By the primary key, or the lock would be on all records.
    await locker.query("SELECT 1 FROM idemkit_records WHERE digest = ? FOR UPDATE", [row?.digest]);
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
    expect(error).toMatchObject({ cause: { code: "ER_QUERY_INTERRUPTED" } });
    await locker.query("ROLLBACK");
    locker.release();
    expect(begun.claim.signal.aborted).toBe(false);
    expect(await begun.claim.complete(1)).toEqual({ recorded: true });
  });

  test("a pool whose connections are all stuck goes on once they are free", async () => {
    const { client, url } = await migrated(server, { connectionLimit: 2 });
    const store = mysqlStore(client);
    const claims = await claimed(store, [requestOf("a"), requestOf("b")]);
    const locker = pool(url, onTestFinished, { connectionLimit: 1 });
    const holding = await locker.getConnection();
    await holding.query("START TRANSACTION");
    await holding.query("SELECT 1 FROM idemkit_records FOR UPDATE");
    const renewed = () => claims.map((claim) => store.renew([{ ...claim, leaseMs: 60_000 }]));
    const stuck = Promise.allSettled(renewed());
    await sleep(2_500);
    await holding.query("ROLLBACK");
    holding.release();
    // The first that is free may still end the other, which has taken longer than it may.
    for (const result of await stuck) {
      if (result.status === "fulfilled") expect(result.value).toEqual([true]);
      else expect(result.reason).toMatchObject({ errno: INTERRUPTED });
    }
    expect(await Promise.all(renewed())).toEqual([[true], [true]]);
    expect((await client.query("SELECT 1 AS one"))[0]).toEqual([{ one: 1 }]);
  });

  test("a list waits for no other row, though the table has few", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const requests = ["a", "b", "c"].map((key) => requestOf(key));
    const claims = await claimed(store, requests);
    const locker = await client.getConnection();
    await locker.query("START TRANSACTION");
    const digest = requests[0]?.id.digest;
    await locker.query("SELECT 1 FROM idemkit_records WHERE digest = UNHEX(?) FOR UPDATE", [
      digest,
    ]);
    const others = claims.slice(1).map((claim) => ({ ...claim, leaseMs: 60_000 }));
    expect(await store.renew(others)).toEqual([true, true]);
    await locker.query("ROLLBACK");
    locker.release();
  });

  test.each(["latin1", "utf8mb3", "ucs2"])(
    "texts are kept in lists, though the database's own charset is %s",
    async (charset) => {
      const url = await database(server, onTestFinished, charset);
      const client = pool(url, onTestFinished);
      await migrate(client);
      const store = mysqlStore(client);
      await store.check({ durability: "process-kill" });
      const text = "Łukasz 日本 😀";
      const requests = ["a", "b"].map((key) => requestOf(key, { checkpoint: text }));
      const claims = await claimed(store, requests);
      const completions = claims.map((claim) => ({ ...claim, ...outcome, body: text, note: text }));
      expect(await store.complete(completions)).toEqual([true, true]);
      expect(await store.complete(completions)).toEqual([true, true]);
      const views = await store.read(claims.map(({ id }) => id));
      for (const view of views) {
        expect([view?.body, view?.note, view?.checkpoint?.value]).toEqual([text, text, text]);
      }
    },
  );

  test("a purge of large bodies goes on in smaller batches", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const claims = await claimed(
      store,
      Array.from({ length: 20 }, (_, index) => requestOf(`k${index}`)),
    );
    await store.complete(claims.map((claim) => ({ ...claim, ...outcome })));
    await elapse(client, 10_000_000);
    let batches = 0;
    const slow = mysqlStore(
      intercepting(client, (sql) => {
        if (/^\s*DELETE/.test(sql)) batches += 1;
        // As long as the server takes for a batch of very large bodies.
        return batches === 1 && /^\s*DELETE/.test(sql) ? `${sql} AND SLEEP(3) = 0` : sql;
      }),
    );
    expect(await slow.purge(100)).toBe(20);
  });

  test("a removal that is asked for again is told true, whatever the flags", async () => {
    const { client } = await migrated(server, { flags: ["-FOUND_ROWS"] });
    const store = mysqlStore(client);
    const [claim = expect.fail("not claimed")] = await claimed(store, [requestOf("k")]);
    expect(await store.remove(claim.id, claim.token)).toBe(true);
    expect(await store.remove(claim.id, claim.token)).toBe(true);
    expect(await store.remove(claim.id, claim.token + 1)).toBe(false);
  });

  test("a body that the server refuses fails alone", async () => {
    const { client } = await migrated(server);
    const engine = createEngine({ store: mysqlStore(client) });
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
  });

  test("a purge takes what is expired, in batches, and skips what is locked", async () => {
    const { client } = await migrated(server);
    const store = mysqlStore(client);
    const requests = Array.from({ length: 30 }, (_, index) => requestOf(`k${index}`));
    const claims = await claimed(store, requests);
    await store.complete(claims.slice(0, 20).map((claim) => ({ ...claim, ...outcome })));
    await elapse(client, 10_000_000);
    const locker = await client.getConnection();
    await locker.query("START TRANSACTION");
    const digest = requestOf("k0").id.digest;
    await locker.query(
      `SELECT 1 FROM idemkit_records WHERE digest = UNHEX('${digest}') FOR UPDATE`,
    );
    expect(await store.purge(15)).toBe(15);
    expect(await store.purge(15)).toBe(4);
    await locker.query("ROLLBACK");
    locker.release();
    expect(await store.purge(15)).toBe(1);
    expect(await store.purge(15)).toBe(0);
    expect((await store.list({ state: "lapsed", limit: 100 })).records).toHaveLength(10);
  });

  test("whatever the application has set on its pool does not matter", async () => {
    const url = await database(server);
    const client = pool(url, onTestFinished, {
      rowsAsArray: false,
      typeCast: () => "cast",
      supportBigNumbers: true,
      bigNumberStrings: true,
      dateStrings: true,
      namedPlaceholders: true,
      flags: ["-FOUND_ROWS"],
    });
    await migrate(client);
    const store = mysqlStore(client);
    await store.check({ durability: "process-kill" });
    const engine = createEngine({ store });
    await engine.execute(["s"], "k", null, ({ attempt }) => ({ attempt }));
    expect(await engine.execute(["s"], "k", null, () => null)).toMatchObject({
      value: { attempt: 1 },
      replayed: true,
      token: expect.any(Number),
      createdAt: expect.any(Number),
    });
    const claims = await claimed(store, [requestOf("a"), requestOf("b")]);
    const renewals = claims.map((claim) => ({ ...claim, leaseMs: 60_000 }));
    expect(await store.renew(renewals)).toEqual([true, true]);
    expect(await store.renew(renewals)).toEqual([true, true]);
  });

  describe("where the database is not there", () => {
    const ran = () => {
      throw new Error("the function ran");
    };

    test("missing tables are told with advice, and nothing runs", async () => {
      const engine = createEngine({
        store: mysqlStore(pool(await database(server), onTestFinished)),
      });
      const refused = engine.execute("s", "k", null, ran);
      await expect(refused).rejects.toBeInstanceOf(StoreError);
      await expect(refused).rejects.toMatchObject({
        cause: { message: expect.stringContaining("call `await migrate(client)` once") },
      });
    });

    test("an exhausted pool fails within storeTimeoutMs, and nothing runs", async () => {
      const { client } = await migrated(server, { connectionLimit: 2 });
      const held = [await client.getConnection(), await client.getConnection()];
      const engine = createEngine({ store: mysqlStore(client), storeTimeoutMs: 500 });
      await expect(engine.execute("s", "k", null, ran)).rejects.toMatchObject({
        code: "STORE_FAILED",
        cause: { code: "TIMED_OUT" },
      });
      for (const each of held) each.release();
      expect(await engine.execute("s", "k2", null, () => 1)).toMatchObject({ value: 1 });
    });

    test("read-only transactions are told as such, and nothing runs", async () => {
      const { client } = await migrated(server, { connectionLimit: 1 });
      await client.query("SET SESSION TRANSACTION READ ONLY");
      const store = mysqlStore(client);
      const engine = createEngine({ store });
      await expect(engine.execute("s", "k", null, ran)).rejects.toMatchObject({
        cause: { message: expect.stringMatching(/read.only/i) },
      });
      await expect(store.check({ durability: "process-kill" })).rejects.toThrow(
        "The server is read-only: connect to the primary.",
      );
    });
  });
});

test("a server that is gone fails closed", async () => {
  const server = await startMariaDb({ settings: {} });
  const client = pool(server.url, onTestFinished);
  await migrate(client);
  const engine = createEngine({ store: mysqlStore(client), storeTimeoutMs: 2_000 });
  await engine.execute("s", "k", null, () => 1);
  await server.stop();
  const ran = () => {
    throw new Error("the function ran");
  };
  await expect(engine.execute("s", "k", null, ran)).rejects.toBeInstanceOf(StoreError);
});

describe("wrong use", () => {
  const cases: readonly (readonly [string, () => unknown, string])[] = [
    ["a URL", () => mysqlStore("mysql://" as never), "got a value of type string"],
    ["nothing", () => mysqlStore(null as never), "got null"],
    [
      "a cluster of pools",
      () => mysqlStore(createPoolCluster() as never),
      "got a cluster of pools",
    ],
    [
      "a part of a cluster",
      () => mysqlStore(createPoolCluster().of("*") as never),
      "got a cluster of pools",
    ],
  ];
  for (const [what, use, message] of cases) {
    test(`with ${what} is refused`, () => {
      expect(use).toThrow(TypeError);
      expect(use).toThrow(message);
    });
  }

  test("with a single connection is refused", async () => {
    const [[, url = ""] = []] = servers;
    const connection = await createConnection(url);
    expect(() => mysqlStore(connection as never)).toThrow(
      "calls of others would run inside its transactions",
    );
    await connection.end();
  });
});
