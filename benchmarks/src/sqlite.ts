import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import {
  batches,
  execute,
  filled,
  floorHash,
  PAYLOAD,
  REPLAYED_KEYS,
  RESULT,
  RESULT_TEXT,
  type Subjects,
} from "./subject.ts";

function onFile() {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-bench-"));
  const db = openSqlite(join(folder, "records.db"));
  const close = () => {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { db, close };
}

/** What a careful engineer writes by hand: one prepared claim, one prepared completion, no fence. */
const FLOOR_TABLE = `
  CREATE TABLE keys (
    key TEXT PRIMARY KEY, hash TEXT NOT NULL, state INTEGER NOT NULL, body TEXT
  ) STRICT`;
const FLOOR_CLAIM = "INSERT OR IGNORE INTO keys (key, hash, state) VALUES (?, ?, 0)";
const FLOOR_COMPLETE = "UPDATE keys SET state = 1, body = ? WHERE key = ?";
const FLOOR_READ = "SELECT hash, state, body FROM keys WHERE key = ?";

const BUSINESS_TABLE = "CREATE TABLE orders (id TEXT NOT NULL, body TEXT NOT NULL) STRICT";
const BUSINESS_INSERT = "INSERT INTO orders (id, body) VALUES (?, ?)";

async function onMigrated() {
  const { db, close } = onFile();
  await migrate(db);
  db.exec(BUSINESS_TABLE);
  const insert = db.prepare(BUSINESS_INSERT);
  const insertOrder = (number: number) => insert.run(`o-${number}`, RESULT_TEXT);
  return { store: sqliteStore(db), close, insertOrder };
}

export const sqliteSubjects: Subjects = {
  "sqlite transaction floor": async () => {
    const { close, insertOrder } = await onMigrated();
    return { run: (number) => void insertOrder(number), close };
  },

  "sqlite transaction idemkit": async () => {
    const { store, close, insertOrder } = await onMigrated();
    const engine = createEngine({ store });
    const run = (number: number) =>
      engine.transaction("bench", `key-${number}`, PAYLOAD, () => {
        insertOrder(number);
        return RESULT;
      });
    return { run, close };
  },

  "sqlite batch floor": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "one by one"), close };
  },

  "sqlite batch idemkit": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "together"), close };
  },

  "sqlite fresh floor": async () => {
    const { db, close } = onFile();
    db.exec(FLOOR_TABLE);
    const claim = db.prepare(FLOOR_CLAIM);
    const complete = db.prepare(FLOOR_COMPLETE);
    const run = async (number: number) => {
      const key = `key-${number}`;
      if (claim.run(key, floorHash()).changes !== 1) throw new Error("claimed already");
      const result = await Promise.resolve(RESULT);
      complete.run(JSON.stringify(result), key);
    };
    return { run, close };
  },

  "sqlite fresh idemkit": async () => {
    const { db, close } = onFile();
    await migrate(db);
    const run = execute(sqliteStore(db));
    return { run: (number) => run(`key-${number}`), close };
  },

  "sqlite replay floor": async () => {
    const { db, close } = onFile();
    db.exec(FLOOR_TABLE);
    const claim = db.prepare(FLOOR_CLAIM);
    const complete = db.prepare(FLOOR_COMPLETE);
    db.exec("BEGIN");
    for (let index = 0; index < REPLAYED_KEYS; index += 1) {
      claim.run(`key-${index}`, floorHash());
      complete.run(RESULT_TEXT, `key-${index}`);
    }
    db.exec("COMMIT");
    const read = db.prepare(FLOOR_READ);
    const run = async (number: number) => {
      const row = read.get(`key-${number % REPLAYED_KEYS}`) as { hash: string; body: string };
      if (row.hash !== floorHash()) throw new Error("conflict");
      return JSON.parse(row.body) as unknown;
    };
    return { run, close };
  },

  "sqlite replay idemkit": async () => {
    const { db, close } = onFile();
    await migrate(db);
    return { run: await filled(execute(sqliteStore(db))), close };
  },
};
