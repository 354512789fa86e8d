import { type TransactionalHarness, transactionalClauses } from "@idemkit/conformance";
import { createEngine, type Store, type TransactionalStore } from "@idemkit/engine";
import {
  DISAGREEMENTS,
  killLoop,
  outliveZombie,
  transactionScenarios,
} from "@idemkit/test-servers";
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/mysql2";
import { createPool as createCallbackPool } from "mysql2";
import type { Pool, PoolConnection, RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type MysqlClient, migrate, mysqlStore, type TransactionOf } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, pool } from "./clients.ts";
import { database, servers } from "./database.ts";

const KILL_LOOP_MS = 180_000;
const EFFECTS = "CREATE TABLE effects (label VARCHAR(99) NOT NULL)";
const WRITE = "INSERT INTO effects (label) VALUES (?)";
const COUNT = "SELECT count(*) AS n FROM effects WHERE label = ?";
const READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/** How transactions are used with one kind of client. */
interface Driver<C extends MysqlClient> {
  connect(url: string, cleanUp: CleanUp): C;
  write(tx: TransactionOf<C>, label: string): Promise<unknown>;
  /** Begins, works and commits as an application does. */
  transaction(client: C, work: (tx: TransactionOf<C>) => Promise<void>): Promise<unknown>;
}

function driver<C extends MysqlClient>(given: Driver<C>): Driver<MysqlClient> {
  return given as unknown as Driver<MysqlClient>;
}

async function inTransaction(clients: Pool, work: (tx: PoolConnection) => Promise<void>) {
  const connection = await clients.getConnection();
  try {
    await connection.query(READ_COMMITTED);
    await connection.beginTransaction();
    await work(connection);
    await connection.commit();
  } catch (error) {
    await connection.rollback();
    throw error;
  } finally {
    connection.release();
  }
}

const drivers: Readonly<Record<string, Driver<MysqlClient>>> = {
  "mysql2/promise": driver({
    connect: pool,
    write: (tx, label) => tx.execute(WRITE, [label]),
    transaction: inTransaction,
  }),
  mysql2: driver({
    connect: (uri, cleanUp) => {
      const made = createCallbackPool({ uri });
      cleanUp(() => made.promise().end());
      return made;
    },
    write: (tx, label) => tx.promise().execute(WRITE, [label]),
    transaction: (client, work) =>
      inTransaction(client.promise(), (tx) => work(tx.connection as never)),
  }),
  drizzle: driver({
    connect: (url, cleanUp) => drizzle({ client: pool(url, cleanUp) }),
    write: (tx, label) => tx.execute(drizzleSql`INSERT INTO effects (label) VALUES (${label})`),
    transaction: (client, work) => client.transaction(work, { isolationLevel: "read committed" }),
  }),
};

async function harnessOf(
  server: string,
  { connect, write, transaction }: Driver<MysqlClient>,
  cleanUp: CleanUp,
): Promise<TransactionalHarness<never>> {
  const url = await database(server, cleanUp);
  const admin = pool(url, cleanUp);
  await migrate(admin);
  await admin.query(EFFECTS);
  const client = connect(url, cleanUp);
  const storeOn = (used: MysqlClient) => mysqlStore(used) as Store as TransactionalStore<never>;
  const store = storeOn(client);
  return {
    stores: [store, storeOn(connect(url, cleanUp))],
    elapse: (ms, digests) => elapse(admin, ms, digests),
    write,
    count: async (label) => {
      const [rows] = await admin.query<RowDataPacket[]>(COUNT, [label]);
      return Number(rows[0]?.n);
    },
    transaction: async (work) => {
      await transaction(client, (tx) => work(tx as never, store.bind(tx as never)));
    },
  };
}

for (const [version, server] of servers) {
  for (const [name, used] of Object.entries(drivers)) {
    describe(`transactions on ${version} through ${name}`, () => {
      let harness: TransactionalHarness<never>;
      const undos: (() => Promise<void>)[] = [];
      beforeAll(async () => {
        harness = await harnessOf(server, used, (undo) => undos.unshift(undo));
      });
      afterAll(async () => {
        for (const undo of undos) await undo();
      });
      for (const { id, title, check } of transactionalClauses) {
        test(`${id}: ${title}`, () => check(harness));
      }
      for (const { title, run } of transactionScenarios) {
        test(`an engine ${title}`, () => run(harness));
      }
    });
  }

  test(
    `workers killed at random leave records and effects in agreement on ${version}`,
    async () => {
      const url = await database(server);
      const clients = pool(url, (undo) => onTestFinished(undo));
      await migrate(clients);
      await clients.query(EFFECTS);
      const kills = await killLoop(
        new URL("doomed-process.ts", import.meta.url),
        [url],
        async () => {
          const [rows] = await clients.query<RowDataPacket[]>(DISAGREEMENTS);
          return Number(rows[0]?.n);
        },
      );
      expect(kills).toBeGreaterThan(0);
    },
    KILL_LOOP_MS,
  );

  for (const stoppedAt of ["before", "inside"] as const) {
    test(`a zombie that was stopped ${stoppedAt} its transaction writes nothing on ${version}`, async () => {
      const url = await database(server);
      const clients = pool(url, (undo) => onTestFinished(undo));
      await migrate(clients);
      await clients.query(EFFECTS);
      const script = new URL("doomed-process.ts", import.meta.url);
      await outliveZombie(script, [url], stoppedAt, mysqlStore(clients));
      expect((await clients.query("SELECT * FROM effects"))[0]).toEqual([]);
    });
  }

  test(`a batch whose transaction was lost to a deadlock leaves nothing behind on ${version}`, async () => {
    const url = await database(server);
    const clients = pool(url, (undo) => onTestFinished(undo));
    await migrate(clients);
    await clients.query(EFFECTS);
    const connection = await clients.getConnection();
    onTestFinished(() => connection.release());
    await connection.query(READ_COMMITTED);
    await connection.beginTransaction();
    const engine = createEngine({ store: mysqlStore(clients).bind(connection) });
    // A statement that fails ends the transaction, as a deadlock would.
    const { execute } = connection;
    let statements = 0;
    Object.assign(connection, {
      execute: async (...given: Parameters<typeof execute>) => {
        statements += 1;
        if (statements === 3) {
          await connection.rollback();
          throw Object.assign(new Error("Deadlock found"), { errno: 1213 });
        }
        return await execute.apply(connection, given);
      },
    });
    const lines = Array.from({ length: 1_000 }, (_, index) => ({ key: `${index}`, payload: 1 }));
    const batch = engine.executeMany("lines", lines, () => expect.unreachable());
    await expect(batch).rejects.toMatchObject({ code: "STORE_FAILED" });
    await connection.rollback();
    expect((await clients.query("SELECT * FROM idemkit_records"))[0]).toEqual([]);
  });

  describe(`a transaction on ${version}`, () => {
    async function setting() {
      const url = await database(server);
      const clients = pool(url, () => Promise.resolve() as never, { connectionLimit: 2 });
      await migrate(clients);
      await clients.query(EFFECTS);
      const labels = async () => {
        const [rows] = await clients.query<RowDataPacket[]>("SELECT label FROM effects ORDER BY 1");
        return rows.map(({ label }) => label as string);
      };
      return { url, clients, labels, engine: createEngine({ store: mysqlStore(clients) }) };
    }
    const SETTINGS = "SELECT @@innodb_lock_wait_timeout AS locks, @@wait_timeout AS idle";

    test("bounds the work, and leaves the settings of its connection as they were", async () => {
      const { clients, engine } = await setting();
      const shown = async (client: Pick<Pool, "query">) => {
        const [rows] = await client.query<RowDataPacket[]>(SETTINGS);
        return { ...rows[0] } as unknown;
      };
      const own = await clients.getConnection();
      await own.query("SET SESSION innodb_lock_wait_timeout = 7, SESSION wait_timeout = 700");
      const other = await clients.getConnection();
      own.release();
      const { value } = await engine.transaction("orders", "k", 1, (tx) => shown(tx));
      expect(value).toEqual({ locks: 2, idle: 30 });
      const failing = engine.transaction("orders", "l", 1, () => Promise.reject(new Error("no")));
      await expect(failing).rejects.toThrow("no");
      expect(await shown(clients)).toEqual({ locks: 7, idle: 700 });
      other.release();
      await clients.end();
    });

    test("that deadlocks begins again, and is committed once", async () => {
      const { clients, engine, labels } = await setting();
      await clients.query("CREATE TABLE stock (id INT PRIMARY KEY, n INT NOT NULL)");
      await clients.query("INSERT INTO stock VALUES (1, 0), (2, 0)");
      let runs = 0;
      const swap = (key: string, first: number, second: number) =>
        engine.transaction("orders", key, 1, async (tx) => {
          runs += 1;
          for (const id of [first, second]) {
            await tx.query("UPDATE stock SET n = n + 1 WHERE id = ?", [id]);
            await new Promise((resolve) => setTimeout(resolve, 200));
          }
          await tx.execute(WRITE, [key]);
          return key;
        });
      await Promise.all([swap("one", 1, 2), swap("two", 2, 1)]);
      expect(runs).toBe(3);
      expect(await labels()).toEqual(["one", "two"]);
      const [stock] = await clients.query<RowDataPacket[]>("SELECT n FROM stock");
      expect(stock.map(({ n }) => n as number)).toEqual([2, 2]);
      await clients.end();
    });

    test("that was lost to a deadlock which its work has swallowed writes and records nothing", async () => {
      const { clients, engine, labels } = await setting();
      await clients.query("CREATE TABLE stock (id INT PRIMARY KEY, n INT NOT NULL)");
      await clients.query("INSERT INTO stock VALUES (1, 0), (2, 0)");
      const rival = await clients.getConnection();
      const swallowing = async (tx: Pick<PoolConnection, "execute" | "query">) => {
        await tx.execute(WRITE, ["before"]);
        await tx.query("UPDATE stock SET n = n + 1 WHERE id = 1");
        await rival.beginTransaction();
        // The one with fewer changes is the victim.
        await rival.query("UPDATE stock SET n = n + 1 WHERE id = 2");
        await rival.query("INSERT INTO stock VALUES (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)");
        const theirs = rival.query("UPDATE stock SET n = n + 1 WHERE id = 1");
        await new Promise((resolve) => setTimeout(resolve, 100));
        const mine = await tx.query("UPDATE stock SET n = n + 1 WHERE id = 2").catch(() => "lost");
        await theirs;
        await rival.rollback();
        expect(mine).toBe("lost");
        await tx.execute(WRITE, ["after"]);
        return "done";
      };
      const failed = { code: "STORE_FAILED" };
      await expect(engine.transaction("orders", "k", 1, swallowing)).rejects.toMatchObject(failed);
      expect([await labels(), await engine.inspect("orders", "k")]).toEqual([[], undefined]);
      const inside = engine.execute("orders", "l", 1, ({ transaction }) => transaction(swallowing));
      await expect(inside).rejects.toMatchObject(failed);
      expect(await labels()).toEqual([]);
      expect(await engine.inspect("orders", "l")).toMatchObject({ state: "lapsed" });
      rival.release();
      const [autocommit] = await clients.query<RowDataPacket[]>("SELECT @@autocommit AS on_");
      expect(autocommit[0]?.on_).toBe(1);
      await clients.end();
    });

    test("that is blocked by another process's gives its connection back and waits", async () => {
      const { url, clients, engine } = await setting();
      const others = pool(url, () => Promise.resolve() as never);
      const other = createEngine({ store: mysqlStore(others) });
      let finish: () => void = () => undefined;
      const running = other.transaction("orders", "k", 1, async (tx) => {
        await tx.execute(WRITE, ["first"]);
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return "first";
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      const work = (): Promise<string> => Promise.reject(new Error("ran again"));
      const rejected = engine.transaction("orders", "k", 1, work);
      await expect(rejected).rejects.toMatchObject({ code: "IN_PROGRESS" });
      const waiting = Array.from({ length: 20 }, () =>
        engine.transaction("orders", "k", 1, work, { onDuplicate: { waitMs: 20_000 } }),
      );
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await clients.query("SELECT 1");
      finish();
      await running;
      const outcomes = await Promise.all(waiting);
      expect(outcomes.every(({ value, replayed }) => value === "first" && replayed)).toBe(true);
      await Promise.all([clients.end(), others.end()]);
    });

    test("whose connection is cut rolls back", async () => {
      const { clients, engine, labels } = await setting();
      const run = engine.transaction("orders", "k", 1, async (tx) => {
        await tx.execute(WRITE, ["cut"]);
        await clients.query(`KILL ${tx.threadId}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
        return "cut";
      });
      await expect(run).rejects.toMatchObject({ code: "STORE_FAILED" });
      expect(await engine.inspect("orders", "k")).toBeUndefined();
      expect(await labels()).toEqual([]);
      await clients.end();
    });

    test("of a stopped worker is ended by the server, and its record is free", async () => {
      const { clients, engine, labels } = await setting();
      const short = engine.with({ leaseMs: 500, storeTimeoutMs: 5_000, replayMs: 60_000 });
      const stopped = short.transaction("orders", "k", 1, async (tx) => {
        await tx.execute(WRITE, ["zombie"]);
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        await tx.execute(WRITE, ["zombie"]);
        return "zombie";
      });
      await expect(stopped).rejects.toThrow();
      const { value } = await short.transaction("orders", "k", 1, async () => "fresh");
      expect(value).toBe("fresh");
      expect(await labels()).toEqual([]);
      await clients.end();
    });

    test("cannot be bound to what is none", async () => {
      const { clients } = await setting();
      const store: { bind(tx: unknown): Store } = mysqlStore(clients);
      for (const wrong of [clients, undefined, {}, 1]) {
        expect(() => store.bind(wrong)).toThrow(/^tx: expected a connection of mysql2/);
      }
      await clients.end();
    });
  });
}
