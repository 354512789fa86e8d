import { hash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, memoryStore, type Store } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";

/** Something that is measured: one operation, by its number, and what has to be undone. */
export interface Subject {
  readonly run: (number: number) => Promise<unknown> | unknown;
  readonly close: () => void;
}

/** About 200 bytes of JSON, as a small order has. */
const PAYLOAD = {
  customer: "c-4711",
  currency: "EUR",
  lines: [
    { sku: "teapot-blue", quantity: 2, priceCents: 2400 },
    { sku: "kettle-1.7l", quantity: 1, priceCents: 5900 },
  ],
  note: "please ring twice, the bell is quiet",
};

const RESULT = { orderId: "o-4711", chargeId: "ch-4711", amountCents: 10_700 };
const RESULT_TEXT = JSON.stringify(RESULT);
const REPLAYED_KEYS = 1_000;

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

const floorHash = () => hash("sha256", JSON.stringify(PAYLOAD), "hex");

function execute(store: Store) {
  const engine = createEngine({ store });
  return (key: string) => engine.execute("bench", key, PAYLOAD, () => RESULT);
}

/** Runs the operation on each of the keys that are replayed afterwards. */
async function filled(run: (key: string) => Promise<unknown>) {
  const keys = Array.from({ length: REPLAYED_KEYS }, (_, index) => `key-${index}`);
  await Promise.all(keys.map(run));
  return (number: number) => run(`key-${number % REPLAYED_KEYS}`);
}

/** Every subject by name. `fresh` and `replay` are measured against the `floor` of the same kind. */
export const subjects: Readonly<Record<string, () => Promise<Subject>>> = {
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

  // The floor of the memory store is what any implementation has to do: two hashes, one stringify.
  "memory fresh floor": async () => ({
    run: async (number: number) => {
      hash("sha256", `key-${number}`, "hex");
      return hash("sha256", JSON.stringify(PAYLOAD), "hex");
    },
    close: () => undefined,
  }),

  "memory fresh idemkit": async () => {
    const run = execute(memoryStore());
    return { run: (number) => run(`key-${number}`), close: () => undefined };
  },

  "memory replay floor": async () => ({
    run: async (number: number) => {
      hash("sha256", `key-${number % REPLAYED_KEYS}`, "hex");
      return hash("sha256", JSON.stringify(PAYLOAD), "hex");
    },
    close: () => undefined,
  }),

  "memory replay idemkit": async () => ({
    run: await filled(execute(memoryStore())),
    close: () => undefined,
  }),
};
