import { setTimeout as sleep } from "node:timers/promises";
import { type ClaimRequest, createEngine, type Store, StoreError } from "@idemkit/engine";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate, openSqlite, type SqliteHandle, sqliteStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { migrated, opened, temporaryPath } from "./database.ts";
import { storeInAnotherProcess } from "./other-process.ts";
import { commitsIn } from "./wal.ts";

let made = 0;

function requestOf(key: string, owner = `owner of ${key}`) {
  made += 1;
  const digest = made.toString(16).padStart(32, "0");
  const id = { digest, scope: "4:test", key };
  return { id, owner, fingerprint: "f", leaseMs: 1e5, retentionMs: 1e6, takeOver: false };
}

/** Claims each, and answers the claims that were granted. */
async function claimed(store: Store, requests: readonly ClaimRequest[]) {
  const outcomes = await store.claim(requests);
  return requests.flatMap(({ id, owner }, index) => {
    const outcome = outcomes[index];
    return outcome?.outcome === "claimed" ? [{ id, owner, token: outcome.token }] : [];
  });
}

describe("commits, counted in the write-ahead log", () => {
  test("a list of claims is one, and so is a list of completions", async () => {
    const { db, path } = await migrated();
    const store = sqliteStore(db);
    const requests = Array.from({ length: 256 }, (_, index) => requestOf(`k${index}`));
    const before = commitsIn(path);
    const claims = await claimed(store, requests);
    expect(commitsIn(path) - before).toBe(1);
    const outcome = { status: "succeeded", body: "b" } as const;
    await store.complete(claims.map((claim) => ({ ...claim, ...outcome })));
    expect(commitsIn(path) - before).toBe(2);
  });

  test("a replay, a refusal and a read make none", async () => {
    const { db, path } = await migrated();
    const store = sqliteStore(db);
    const [done, running] = [requestOf("done"), requestOf("running")];
    const [claim] = await claimed(store, [done, running]);
    if (claim === undefined) throw new Error("expected a claim");
    await store.complete([{ ...claim, status: "succeeded", body: "b" }]);
    const before = commitsIn(path);
    await store.claim([{ ...done, owner: "other" }]);
    await store.claim([{ ...running, owner: "other" }]);
    await store.read([done.id, running.id]);
    await store.renew([{ ...claim, owner: "other", leaseMs: 1 }]);
    expect(commitsIn(path)).toBe(before);
  });

  test("a replay takes no write lock: it passes while another holds it", async () => {
    const { db, path } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    await engine.execute("s", "k", null, () => 1);
    const writer = opened(path);
    writer.exec("BEGIN IMMEDIATE");
    expect(await engine.execute("s", "k", null, () => 2)).toMatchObject({ replayed: true });
    writer.exec("ROLLBACK");
  });

  test("an engine's call makes two; a hundred at once make hardly more", async () => {
    const { db, path } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    await engine.execute("s", "warm", null, () => 1);
    const before = commitsIn(path);
    await engine.execute("s", "alone", null, () => 1);
    expect(commitsIn(path) - before).toBe(2);
    const crowd = Array.from({ length: 100 }, (_, index) =>
      engine.execute("s", `k${index}`, null, () => index),
    );
    await Promise.all(crowd);
    expect(commitsIn(path) - before).toBe(4);
  });

  test("calls that come while a list is under way share the next one", async () => {
    const { db, path } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    await engine.execute("s", "warm", null, () => 1);
    const before = commitsIn(path);
    const calls: Promise<unknown>[] = [];
    // Each call comes in a turn of its own, as requests from sockets do.
    for (let index = 0; index < 50; index += 1) {
      calls.push(engine.execute("s", `k${index}`, null, () => sleep(5)));
      await Promise.resolve();
      await Promise.resolve();
    }
    await Promise.all(calls);
    expect(commitsIn(path) - before).toBeLessThan(20);
  });
});

describe("a database that others write to", () => {
  test("is waited for without blocking the event loop", async () => {
    const { db, path } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    const writer = opened(path);
    writer.exec("BEGIN IMMEDIATE");
    let ticks = 0;
    const ticking = setInterval(() => {
      ticks += 1;
    }, 1);
    const call = engine.execute("s", "k", null, () => 1);
    await sleep(150);
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(20);
    writer.exec("COMMIT");
    expect(await call).toMatchObject({ value: 1, recorded: true });
  });

  test("for too long is a clear error, and nothing ran", async () => {
    const { db, path } = await migrated();
    const engine = createEngine({ store: sqliteStore(db), storeTimeoutMs: 200 });
    const writer = opened(path);
    writer.exec("BEGIN IMMEDIATE");
    let runs = 0;
    const call = engine.execute("s", "k", null, () => {
      runs += 1;
    });
    await expect(call).rejects.toBeInstanceOf(StoreError);
    writer.exec("ROLLBACK");
    expect(runs).toBe(0);
    // The claim that was given up is given back in the background.
    const again = engine.execute("s", "k", null, () => 2, { onDuplicate: { waitMs: 5_000 } });
    expect(await again).toMatchObject({ value: 2 });
    await engine.close();
  });

  test("keeps the user's own busy timeout as it was, whenever it was changed", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    for (const timeoutMs of [1234, 0, 77]) {
      db.pragma(`busy_timeout = ${timeoutMs}`);
      await store.claim([requestOf("k")]);
      expect(db.pragma("busy_timeout", { simple: true })).toBe(timeoutMs);
    }
  });

  test("two processes that race for 200 keys: one winner each, and tokens grow", async () => {
    const { db, path } = await migrated();
    const stores = [sqliteStore(db), await storeInAnotherProcess(path)];
    const requests = Array.from({ length: 200 }, (_, index) => requestOf(`k${index}`, "a"));
    for (const round of [1, 2]) {
      const answers = await Promise.all(
        requests.flatMap((request) =>
          stores.map(async (store, index) => {
            const owner = `${round}${index}`;
            const [outcome] = await store.claim([{ ...request, owner, takeOver: true }]);
            return { digest: request.id.digest, outcome };
          }),
        ),
      );
      const won = answers.filter(({ outcome }) => outcome?.outcome === "claimed");
      expect(won).toHaveLength(200);
      expect(new Set(won.map(({ digest }) => digest)).size).toBe(200);
      elapse(db, 1e5);
    }
  });
});

describe("a handle that is not fit", () => {
  test("has no tables: the error says what to call, with the driver's as its cause", async () => {
    const engine = createEngine({ store: sqliteStore(opened(temporaryPath())) });
    let runs = 0;
    const error = await engine
      .execute("s", "k", null, () => {
        runs += 1;
      })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreError);
    const { cause } = error as { readonly cause: Error };
    expect(cause.message).toContain("call `await migrate(db)` once");
    expect(cause.cause).toMatchObject({ code: "SQLITE_ERROR" });
    expect(runs).toBe(0);
    await engine.close();
  });

  test("has an open transaction: it is left alone, with advice", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    db.exec("BEGIN");
    db.exec("CREATE TABLE mine (a)");
    await expect(store.claim([requestOf("k")])).rejects.toThrow("has an open transaction");
    expect(db.inTransaction).toBe(true);
    db.exec("COMMIT");
    expect(db.prepare("SELECT count(*) AS n FROM mine").get()).toEqual({ n: 0 });
    expect(await store.claim([requestOf("k")])).toMatchObject([{ outcome: "claimed" }]);
  });

  test("is read-only: the driver's error comes through", async () => {
    const { path } = await migrated();
    const db = new Database(path, { readonly: true });
    onTestFinished(() => {
      db.close();
    });
    await expect(sqliteStore(db).claim([requestOf("k")])).rejects.toMatchObject({
      code: "SQLITE_READONLY",
    });
  });

  test("is closed: the call rejects", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    db.close();
    await expect(store.claim([requestOf("k")])).rejects.toThrow("not open");
  });

  test("answers BigInts by default: tokens and times are numbers all the same", async () => {
    const { db } = await migrated();
    db.defaultSafeIntegers(true);
    const engine = createEngine({ store: sqliteStore(db) });
    await engine.execute("s", "k", null, () => 1);
    expect(await engine.execute("s", "k", null, () => 2)).toMatchObject({ value: 1 });
    expect(await engine.purge()).toBe(0);
    await expect(sqliteStore(db).check()).resolves.toMatchObject({ schemaVersion: 1 });
  });

  test("fails in the middle of a list: the list is undone as one", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    const bad = { ...requestOf("bad"), id: { digest: "00", scope: "s", key: "k" } };
    const good = requestOf("good");
    await expect(store.claim([good, bad])).rejects.toThrow("breaks the table's rules");
    expect(await store.read([good.id])).toEqual([undefined]);
    expect(db.inTransaction).toBe(false);
  });
});

describe("a handle that the application uses meanwhile", () => {
  test("for a transaction of its own: calls wait for its end", async () => {
    const { db } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    db.exec("CREATE TABLE mine (a)");
    const call = engine.execute("s", "k", null, async () => {
      db.exec("BEGIN");
      setTimeout(() => db.exec("COMMIT"), 50);
      return "kept";
    });
    expect(await call).toMatchObject({ value: "kept", recorded: true });
    expect(db.inTransaction).toBe(false);
  });

  test("to iterate over rows: calls wait for its end", async () => {
    const { db } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    const rows = db.prepare("SELECT value FROM json_each('[1, 2, 3]')").iterate();
    rows.next();
    const call = engine.execute("s", "k", null, () => 1);
    await sleep(50);
    rows.return?.();
    expect(await call).toMatchObject({ value: 1, recorded: true });
  });

  test("to iterate, or for a transaction: every operation waits for its end", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    const request = { ...requestOf("k"), token: 1 };
    const operations = {
      claim: () => store.claim([request]),
      renew: () => store.renew([request]),
      complete: () => store.complete([{ ...request, status: "unknown", body: "" }]),
      release: () => store.release([request]),
      read: () => store.read([request.id]),
      list: () => store.list({ state: "unknown", limit: 1 }),
      remove: () => store.remove(request.id, 1),
      purge: () => store.purge(1),
    };
    for (const [name, call] of Object.entries(operations)) {
      const rows = db.prepare("SELECT value FROM json_each('[1, 2, 3]')").iterate();
      rows.next();
      const iterating: Promise<unknown> = call();
      setTimeout(() => rows.return?.(), 15);
      await expect(iterating, name).resolves.toBeDefined();
      db.exec("BEGIN");
      const inTransaction: Promise<unknown> = call();
      setTimeout(() => db.exec("COMMIT"), 15);
      await expect(inTransaction, name).resolves.toBeDefined();
    }
  });

  test("without an end: the error says what is wrong with it", async () => {
    const { db } = await migrated();
    const rows = db.prepare("SELECT value FROM json_each('[1, 2, 3]')").iterate();
    rows.next();
    const claim = sqliteStore(db).claim([requestOf("k")]);
    await expect(claim).rejects.toThrow("in the middle of iterating over rows");
    rows.return?.();
  });
});

describe("list", () => {
  test("goes through a large table in steps, and lets others have their turn", async () => {
    const { db } = await migrated();
    db.exec(`
      WITH RECURSIVE numbers (value) AS (
        SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < 9000)
      INSERT INTO idemkit_records (digest, scope, key, status, fingerprint, owner, token, attempt,
        taken_over, lease_ends_at, expires_at, created_at)
      SELECT randomblob(16), '1:s', value, iif(value % 3 = 0, 'succeeded', 'unknown'), 'f', 'o',
        1, 1, 0, 0, 9000000000000000, 0
      FROM numbers`);
    const store = sqliteStore(db);
    let turns = 0;
    const ticking = setInterval(() => {
      turns += 1;
    }, 0);
    const keys: string[] = [];
    let after: string | undefined;
    do {
      const page = await store.list({ state: "unknown", limit: 777, ...(after && { after }) });
      keys.push(...page.records.map(({ id }) => id.key));
      after = page.next;
    } while (after !== undefined);
    clearInterval(ticking);
    expect(keys).toHaveLength(6_000);
    expect(new Set(keys).size).toBe(6_000);
    expect(turns).toBeGreaterThan(2);
  });
});

test("what is no database is refused where it is handed in", async () => {
  for (const wrong of ["app.db", undefined, null, {}]) {
    expect(() => sqliteStore(wrong as never)).toThrow("db: expected a better-sqlite3 database");
    await expect(migrate(wrong as never)).rejects.toThrow(TypeError);
  }
});

describe("openSqlite", () => {
  test("makes a handle that survives power loss, each time it opens a file", async () => {
    const { path } = await migrated();
    for (const db of [opened(path), opened(path)]) {
      expect(await sqliteStore(db).check()).toEqual({
        schemaVersion: 1,
        durability: "power-loss",
        journalMode: "wal",
        synchronous: 2,
      });
    }
  });

  test("tells what is wrong with the file", () => {
    expect(() => openSqlite("/nowhere/at/all.db")).toThrow();
    for (const path of ["", undefined]) {
      expect(() => openSqlite(path as string)).toThrow("path: expected the path of a file");
    }
  });
});

describe("check", () => {
  const unfit: readonly (readonly [string, (db: Database.Database) => void, string])[] = [
    ["synchronous = NORMAL", (db) => db.pragma("synchronous = NORMAL"), "survives 'process-kill'"],
    ["a journal in memory", (db) => db.pragma("journal_mode = MEMORY"), "survives 'none'"],
    ["a rollback journal", (db) => db.pragma("journal_mode = DELETE"), "journal_mode is delete"],
    ["a handle that may only read", (db) => db.pragma("query_only = ON"), "is read-only"],
    [
      "a table without its key",
      (db) =>
        db.exec(
          "ALTER TABLE idemkit_records RENAME TO old;" +
            "CREATE TABLE idemkit_records AS SELECT * FROM old",
        ),
      "lacks PRIMARY KEY (digest)",
    ],
    [
      "a lost column",
      (db) => db.exec("ALTER TABLE idemkit_records DROP COLUMN note"),
      "lacks the column note TEXT",
    ],
    [
      "a lost index",
      (db) => db.exec("DROP INDEX idemkit_records_expires_at"),
      "lacks its index on expires_at",
    ],
    [
      "a column that no claim fills",
      (db) =>
        db.exec(
          "ALTER TABLE idemkit_records ADD tenant TEXT NOT NULL DEFAULT '' CHECK (tenant <> '')",
        ),
      "A claim on trial failed",
    ],
    [
      "a trigger that undoes claims",
      (db) =>
        db.exec(
          "CREATE TRIGGER undo AFTER INSERT ON idemkit_records " +
            "BEGIN DELETE FROM idemkit_records WHERE digest = NEW.digest; END",
        ),
      "Claims on trial were not kept apart",
    ],
    ["a lost table", (db) => db.exec("DROP TABLE idemkit_records"), "tables are missing"],
    [
      "a newer schema",
      (db) => db.exec("INSERT INTO idemkit_migrations VALUES (99, 0)"),
      "has version 99, newer than this release",
    ],
    [
      "an older schema",
      (db) => db.exec("DELETE FROM idemkit_migrations"),
      "has version 0 of 1: call `await migrate(db)`",
    ],
  ];
  for (const [name, spoil, message] of unfit) {
    test(`refuses ${name}`, async () => {
      const { db } = await migrated();
      spoil(db);
      await expect(sqliteStore(db).check()).rejects.toThrow(message);
    });
  }

  test("accepts less durability where less was asked for", async () => {
    const db = new Database(":memory:");
    await migrate(db);
    await expect(sqliteStore(db).check()).rejects.toThrow("check({ durability: 'none' })");
    const misspelt = sqliteStore(db).check({ durabilty: "none" } as never);
    await expect(misspelt).rejects.toThrow("durabilty: no such option");
    const report = await sqliteStore(db).check({ durability: "none" });
    expect(report).toMatchObject({ durability: "none", journalMode: "memory" });
    await expect(sqliteStore(db).check({ durability: "all" as "none" })).rejects.toThrow(TypeError);
    db.close();
  });

  test("leaves nothing behind, and no transaction open", async () => {
    const { db } = await migrated();
    await sqliteStore(db).check();
    expect(db.prepare("SELECT * FROM idemkit_records").all()).toEqual([]);
    expect(db.inTransaction).toBe(false);
  });
});

test("the store makes, sets and opens nothing when it is constructed", () => {
  const untouchable = new Proxy({} as SqliteHandle, {
    get: (_target, name) => () => {
      throw new Error(`called ${String(name)}`);
    },
  });
  expect(() => sqliteStore(untouchable)).not.toThrow();
});
