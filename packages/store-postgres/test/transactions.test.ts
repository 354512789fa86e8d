import {
  clauses,
  type Harness,
  type TransactionalHarness,
  transactionalClauses,
} from "@idemkit/conformance";
import { createEngine, type Store, type TransactionalStore } from "@idemkit/engine";
import {
  DISAGREEMENTS,
  killLoop,
  outliveZombie,
  transactionScenarios,
} from "@idemkit/test-servers";
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle as onNodePostgres } from "drizzle-orm/node-postgres";
import { drizzle as onPostgresJs } from "drizzle-orm/postgres-js";
import type { PoolClient } from "pg";
import type { TransactionSql } from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { migrate, type PostgresClient, postgresStore, type TransactionOf } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, pool, sql } from "./clients.ts";
import { database } from "./database.ts";

const KILL_LOOP_MS = 180_000;
const EFFECTS = "CREATE TABLE effects (label varchar(99) NOT NULL)";
const WRITE = "INSERT INTO effects (label) VALUES ($1)";
const COUNT = "SELECT count(*)::int AS n FROM effects WHERE label = $1";

/** How transactions are used with one kind of client. */
interface Driver<C extends PostgresClient> {
  connect(url: string, cleanUp: CleanUp): C;
  write(tx: TransactionOf<C>, label: string): Promise<unknown>;
  /** Begins, works and commits as an application does. */
  transaction(client: C, work: (tx: TransactionOf<C>) => Promise<void>): Promise<unknown>;
}

function driver<C extends PostgresClient>(given: Driver<C>): Driver<PostgresClient> {
  return given as unknown as Driver<PostgresClient>;
}

const drivers: Readonly<Record<string, Driver<PostgresClient>>> = {
  pg: driver({
    connect: pool,
    write: (tx, label) => tx.query(WRITE, [label]),
    transaction: async (client, work) => {
      const connection = await client.connect();
      try {
        await connection.query("BEGIN");
        await work(connection);
        await connection.query("COMMIT");
      } catch (error) {
        await connection.query("ROLLBACK");
        throw error;
      } finally {
        connection.release();
      }
    },
  }),
  "postgres.js": driver({
    connect: sql,
    write: async (tx, label) => await tx`INSERT INTO effects (label) VALUES (${label})`,
    transaction: (client, work) => client.begin((tx) => work(tx)),
  }),
  "drizzle on pg": driver({
    connect: (url, cleanUp) => onNodePostgres({ client: pool(url, cleanUp) }),
    write: (tx, label) => tx.execute(drizzleSql`INSERT INTO effects (label) VALUES (${label})`),
    transaction: (client, work) => client.transaction(work),
  }),
  "drizzle on postgres.js": driver({
    connect: (url, cleanUp) => onPostgresJs({ client: sql(url, cleanUp) }),
    write: (tx, label) => tx.execute(drizzleSql`INSERT INTO effects (label) VALUES (${label})`),
    transaction: (client, work) => client.transaction(work),
  }),
};

async function harnessOf(
  { connect, write, transaction }: Driver<PostgresClient>,
  cleanUp: CleanUp,
): Promise<TransactionalHarness<never>> {
  const url = await database(cleanUp);
  const admin = pool(url, cleanUp);
  await migrate(admin);
  await admin.query(EFFECTS);
  const client = connect(url, cleanUp);
  const storeOn = (used: PostgresClient) =>
    postgresStore(used) as Store as TransactionalStore<never>;
  const store = storeOn(client);
  return {
    stores: [store, storeOn(connect(url, cleanUp))],
    elapse: (ms, digests) => elapse(admin, ms, digests),
    write,
    count: async (label) => (await admin.query<{ n: number }>(COUNT, [label])).rows[0]?.n ?? 0,
    transaction: async (work) => {
      await transaction(client, (tx) => work(tx as never, store.bind(tx as never)));
    },
  };
}

for (const [name, used] of Object.entries(drivers)) {
  describe(`transactions on ${name}`, () => {
    let harness: TransactionalHarness<never>;
    const undos: (() => Promise<void>)[] = [];
    beforeAll(async () => {
      harness = await harnessOf(used, (undo) => undos.unshift(undo));
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

describe("a store that is bound to an open transaction", () => {
  let harness: Harness;
  const undos: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    const url = await database((undo) => undos.unshift(undo));
    const clients = pool(url, (undo) => undos.unshift(undo));
    await migrate(clients);
    const client: PoolClient = await clients.connect();
    undos.unshift(async () => client.release(true));
    await client.query("BEGIN");
    const store = postgresStore(clients);
    harness = {
      stores: [store.bind(client), store.bind(client)],
      elapse: (ms, digests) => elapseIn(client, ms, digests),
    };
  });
  afterAll(async () => {
    for (const undo of undos) await undo();
  });
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(harness));
  }
});

async function elapseIn(client: PoolClient, ms: number, digests: readonly string[]) {
  await client.query(
    `UPDATE idemkit_records SET lease_ends_at = lease_ends_at - $1, expires_at = expires_at - $1,
       created_at = created_at - $1, completed_at = completed_at - $1
     WHERE digest = ANY($2::text[]::uuid[])`,
    [ms, digests],
  );
}

test(
  "workers killed at random leave records and effects in agreement",
  async () => {
    const url = await database();
    const clients = pool(url, (undo) => onTestFinished(undo));
    await migrate(clients);
    await clients.query(EFFECTS);
    const kills = await killLoop(new URL("doomed-process.ts", import.meta.url), [url], async () => {
      const { rows } = await clients.query<{ n: string }>(DISAGREEMENTS.replaceAll("`", '"'));
      return Number(rows[0]?.n);
    });
    expect(kills).toBeGreaterThan(0);
  },
  KILL_LOOP_MS,
);

for (const stoppedAt of ["before", "inside"] as const) {
  test(`a zombie that was stopped ${stoppedAt} its transaction writes nothing`, async () => {
    const url = await database();
    const clients = pool(url, (undo) => onTestFinished(undo));
    await migrate(clients);
    await clients.query(EFFECTS);
    const script = new URL("doomed-process.ts", import.meta.url);
    await outliveZombie(script, [url], stoppedAt, postgresStore(clients));
    expect((await clients.query("SELECT * FROM effects")).rows).toEqual([]);
  });
}

describe("a transaction on Postgres", () => {
  async function setting() {
    const url = await database();
    const clients = pool(url, () => undefined, { max: 2 });
    await migrate(clients);
    await clients.query(EFFECTS);
    return { url, clients, engine: createEngine({ store: postgresStore(clients) }) };
  }

  test("bounds the work, and leaves the settings of its connection as they were", async () => {
    const { clients, engine } = await setting();
    const shown = async (client: Pick<PoolClient, "query">) => {
      const { rows } = await client.query(
        `SELECT current_setting('lock_timeout') AS lock,
           current_setting('idle_in_transaction_session_timeout') AS idle`,
      );
      return rows[0];
    };
    const client = await clients.connect();
    await client.query("SET lock_timeout = '7s'");
    client.release();
    const { value } = await engine.transaction("orders", "k", 1, (tx) => shown(tx));
    expect(value).toEqual({ lock: "2s", idle: "30s" });
    expect(await shown(clients)).toEqual({ lock: "7s", idle: "0" });
    await clients.end();
  });

  test("that deadlocks begins again, and is committed once", async () => {
    const { clients, engine } = await setting();
    await clients.query("INSERT INTO effects (label) VALUES ('a'), ('b')");
    let runs = 0;
    const swap = (key: string, first: string, second: string) =>
      engine.transaction("orders", key, 1, async (tx) => {
        runs += 1;
        for (const label of [first, second]) {
          await tx.query("UPDATE effects SET label = label WHERE label = $1", [label]);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
        await tx.query(WRITE, [key]);
        return key;
      });
    await Promise.all([swap("one", "a", "b"), swap("two", "b", "a")]);
    expect(runs).toBe(3);
    const { rows } = await clients.query("SELECT label FROM effects ORDER BY label");
    expect(rows.map(({ label }) => label)).toEqual(["a", "b", "one", "two"]);
    await clients.end();
  });

  test("that is blocked by another process's gives its connection back and waits", async () => {
    const { url, clients, engine } = await setting();
    const others = pool(url, () => undefined);
    const other = createEngine({ store: postgresStore(others) });
    let finish: () => void = () => undefined;
    const running = other.transaction("orders", "k", 1, async (tx) => {
      await tx.query(WRITE, ["first"]);
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
    // One waits for the row; the other connection is free for everybody else.
    expect((await clients.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    finish();
    await running;
    const outcomes = await Promise.all(waiting);
    expect(outcomes.every(({ value, replayed }) => value === "first" && replayed)).toBe(true);
    await Promise.all([clients.end(), others.end()]);
  });

  test("fails with the driver's error where no statement can be sent any more", async () => {
    const { clients, engine } = await setting();
    const run = engine.transaction("orders", "k", 1, async (tx) => {
      await tx.query("SELECT 1 / 0").catch(() => undefined);
      return "swallowed";
    });
    await expect(run).rejects.toMatchObject({ code: "STORE_FAILED", cause: { code: "25P02" } });
    expect(await engine.inspect("orders", "k")).toBeUndefined();
    await clients.end();
  });

  test("whose work has ended it records nothing", async () => {
    const { clients, engine } = await setting();
    const run = engine.execute("orders", "k", 1, ({ transaction }) =>
      transaction(async (tx) => {
        await tx.query(WRITE, ["before"]);
        await tx.query("ROLLBACK");
        return 7;
      }),
    );
    await expect(run).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    await clients.end();
  });

  test("whose COMMIT is answered by a roll-back was not committed", async () => {
    const { clients, engine } = await setting();
    let runs = 0;
    const run = engine.transaction("orders", "k", 1, async (tx) => {
      runs += 1;
      await tx.query(WRITE, ["x"]);
      // Nobody waits for it: it fails between the completion and COMMIT.
      void tx
        .query("SELECT pg_sleep(0.05)")
        .then(() => tx.query("SELECT 1 / 0"))
        .catch(() => undefined);
      return 7;
    });
    await expect(run).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect([runs, await engine.inspect("orders", "k")]).toEqual([1, undefined]);
    expect((await clients.query("SELECT * FROM effects")).rows).toEqual([]);
    await clients.end();
  });

  test("whose connection is cut rolls back, and the process lives on", async () => {
    const { clients, engine } = await setting();
    const run = engine.transaction("orders", "k", 1, async (tx) => {
      await tx.query(WRITE, ["cut"]);
      const { rows } = await tx.query("SELECT pg_backend_pid() AS pid");
      await clients.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return "cut";
    });
    await expect(run).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(await engine.inspect("orders", "k")).toBeUndefined();
    expect((await clients.query("SELECT * FROM effects")).rows).toEqual([]);
    await clients.end();
  });

  test("of a stopped worker is ended by the server, and its record is free", async () => {
    const { clients, engine } = await setting();
    const short = engine.with({ leaseMs: 500, storeTimeoutMs: 500, replayMs: 60_000 });
    const stopped = short.transaction("orders", "k", 1, async (tx) => {
      await tx.query(WRITE, ["zombie"]);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await tx.query(WRITE, ["zombie"]);
      return "zombie";
    });
    await expect(stopped).rejects.toThrow();
    const { value } = await short.transaction("orders", "k", 1, async () => "fresh");
    expect(value).toBe("fresh");
    expect((await clients.query("SELECT * FROM effects")).rows).toEqual([]);
    await clients.end();
  });

  test("cannot be bound to what is none", async () => {
    const { clients } = await setting();
    const store: { bind(tx: unknown): Store } = postgresStore(clients);
    for (const wrong of [clients, undefined, {}, 1]) {
      expect(() => store.bind(wrong)).toThrow(/^tx: expected a connection of pg/);
    }
    await clients.end();
  });
});

describe("a transaction on postgres.js", () => {
  async function setting() {
    const client = sql(await database(), onTestFinished);
    await migrate(client);
    await client.unsafe(EFFECTS);
    return { client, engine: createEngine({ store: postgresStore(client) }) };
  }

  test("takes a savepoint whose function returns several statements", async () => {
    const { client, engine } = await setting();
    await engine.transaction("orders", "k", 1, async (tx) => {
      await tx.savepoint((inner) =>
        ["a", "b"].map((label) => inner`INSERT INTO effects (label) VALUES (${label})`),
      );
      return "done";
    });
    expect(await client`SELECT label FROM effects ORDER BY label`).toEqual([
      { label: "a" },
      { label: "b" },
    ]);
  });

  test("refuses statements once it is over", async () => {
    const { client, engine } = await setting();
    const kept: TransactionSql[] = [];
    await engine.transaction("orders", "k", 1, async (tx) => {
      kept.push(tx);
      return "done";
    });
    for (const tx of kept) {
      expect(() => tx`INSERT INTO effects (label) VALUES ('late')`).toThrow("is over");
      expect(() => tx.unsafe("INSERT INTO effects (label) VALUES ('late')")).toThrow("is over");
    }
    expect(kept).toHaveLength(1);
    expect(await client`SELECT * FROM effects`).toEqual([]);
  });
});
