import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import {
  execute,
  filled,
  floorHash,
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

export const sqliteSubjects: Subjects = {
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
