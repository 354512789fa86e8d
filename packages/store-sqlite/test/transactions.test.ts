import {
  clauses,
  type Harness,
  type TransactionalHarness,
  transactionalClauses,
} from "@idemkit/conformance";
import { createEngine } from "@idemkit/engine";
import {
  DISAGREEMENTS,
  killLoop,
  outliveZombie,
  transactionScenarios,
} from "@idemkit/test-servers";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SqliteClient, sqliteStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { type CleanUp, migrated, opened } from "./database.ts";

const KILL_LOOP_MS = 180_000;
const EFFECTS = "CREATE TABLE effects (label TEXT NOT NULL CHECK (length(label) < 100))";
const WRITE = "INSERT INTO effects (label) VALUES (?)";

type Handle = ReturnType<typeof opened>;

async function harnessOf<C extends SqliteClient>(
  cleanUp: CleanUp,
  clientOf: (db: Handle) => C,
  write: (client: C, label: string) => unknown,
): Promise<TransactionalHarness<C>> {
  const { db, path } = await migrated(cleanUp);
  db.exec(EFFECTS);
  const client = clientOf(db);
  const store = sqliteStore(client);
  // A handle of its own sees nothing of a transaction that the others have begun.
  const counted = opened(path, cleanUp).prepare(
    "SELECT count(*) AS n FROM effects WHERE label = ?",
  );
  let last: Promise<void> = Promise.resolve();
  return {
    stores: [store, sqliteStore(clientOf(opened(path, cleanUp)))],
    elapse: async (ms, digests) => elapse(db, ms, digests),
    write,
    count: async (label) => (counted.get(label) as { readonly n: number }).n,
    // One at a time: a second one would wait for the first in this very event loop.
    transaction: (work) => {
      last = last.then(async () => {
        const own = opened(path, cleanUp);
        own.exec("BEGIN IMMEDIATE");
        try {
          const tx = clientOf(own);
          await work(tx, store.bind(tx));
          own.exec("COMMIT");
        } finally {
          own.close();
        }
      });
      const mine = last;
      last = last.catch(() => undefined);
      return mine;
    },
  };
}

const drivers = {
  "better-sqlite3": (cleanUp: CleanUp) =>
    harnessOf(
      cleanUp,
      (db) => db,
      (db, label) => db.prepare(WRITE).run(label),
    ),
  drizzle: (cleanUp: CleanUp) =>
    harnessOf(
      cleanUp,
      (db) => drizzle(db),
      (db, label) => db.run(sql`INSERT INTO effects (label) VALUES (${label})`),
    ),
};

for (const [name, makeHarness] of Object.entries(drivers)) {
  describe(`transactions on ${name}`, () => {
    let harness: TransactionalHarness<never>;
    const undos: (() => void)[] = [];
    beforeAll(async () => {
      harness = (await makeHarness((undo) => undos.unshift(undo))) as TransactionalHarness<never>;
    });
    afterAll(() => {
      for (const undo of undos) undo();
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
  const undos: (() => void)[] = [];
  beforeAll(async () => {
    const { db } = await migrated((undo) => undos.unshift(undo));
    const store = sqliteStore(db);
    db.exec("BEGIN IMMEDIATE");
    harness = {
      stores: [store.bind(db), store.bind(db)],
      elapse: async (ms, digests) => elapse(db, ms, digests),
    };
  });
  afterAll(() => {
    for (const undo of undos) undo();
  });
  for (const { id, title, check } of clauses) {
    test(`${id}: ${title}`, () => check(harness));
  }
});

test(
  "workers killed at random leave records and effects in agreement",
  async () => {
    const { db, path } = await migrated();
    db.exec(EFFECTS);
    const disagreements = db.prepare(DISAGREEMENTS);
    const script = new URL("doomed-process.ts", import.meta.url);
    const kills = await killLoop(script, [path], async () => {
      return (disagreements.get() as { readonly n: number }).n;
    });
    expect(kills).toBeGreaterThan(0);
  },
  KILL_LOOP_MS,
);

test("a zombie that was stopped before its transaction writes nothing", async () => {
  const { db, path } = await migrated();
  db.exec(EFFECTS);
  const script = new URL("doomed-process.ts", import.meta.url);
  await outliveZombie(script, [path], "before", sqliteStore(db));
  expect(db.prepare("SELECT * FROM effects").all()).toEqual([]);
});

describe("a transaction on SQLite", () => {
  test("refuses a promise, and writes nothing", async () => {
    const { db } = await migrated();
    db.exec(EFFECTS);
    const engine = createEngine({ store: sqliteStore(db) });
    const work = async () => {
      db.prepare(WRITE).run("a");
      await undefined;
      return 1;
    };
    // @ts-expect-error: a promise does not compile either
    const run = engine.transaction("orders", "k", 1, work);
    await expect(run).rejects.toMatchObject({
      cause: { message: expect.stringContaining("expected a value, got a promise") },
    });
    expect(db.prepare("SELECT * FROM effects").all()).toEqual([]);
    expect(await engine.inspect("orders", "k")).toBeUndefined();
  });

  test("that a statement of its work has ended records nothing", async () => {
    const { db } = await migrated();
    db.exec("CREATE TABLE once (label TEXT PRIMARY KEY); INSERT INTO once VALUES ('taken')");
    const engine = createEngine({ store: sqliteStore(db) });
    const run = engine.execute("orders", "k", 1, ({ transaction }) =>
      transaction((tx) => {
        tx.exec("INSERT INTO once VALUES ('before')");
        try {
          tx.exec("INSERT OR ROLLBACK INTO once VALUES ('taken')");
        } catch {
          // Swallowed, with the transaction.
        }
        return 7;
      }),
    );
    await expect(run).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    expect(db.prepare("SELECT label FROM once").all()).toEqual([{ label: "taken" }]);
  });

  test("that is over takes no more records through what was bound to it", async () => {
    const { db } = await migrated();
    const store = sqliteStore(db);
    db.exec("BEGIN");
    const bound = store.bind(db);
    db.exec("COMMIT");
    await expect(bound.purge(1)).rejects.toThrow(/the transaction is over/);
  });
});
