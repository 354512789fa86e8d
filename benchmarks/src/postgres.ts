import { randomBytes } from "node:crypto";
import { createEngine } from "@idemkit/engine";
import { migrate, postgresStore } from "@idemkit/store-postgres";
import pg from "pg";
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

/** More than this a server of this size has no use for, whoever asks. */
const CONNECTIONS = 16;

/** A pool on a new database of the server in IDEMKIT_BENCH_SERVER_URL. */
async function onDatabase() {
  const server = process.env.IDEMKIT_BENCH_SERVER_URL ?? "";
  const name = `bench_${randomBytes(6).toString("hex")}`;
  await once(server, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: String(url), max: CONNECTIONS });
  // The database goes with its server.
  return { pool, close: () => pool.end() };
}

async function once(connectionString: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(statement);
  await client.end();
}

/** What a careful engineer writes by hand: one prepared claim, one prepared completion, no fence. */
const FLOOR_TABLE =
  "CREATE TABLE keys (key text PRIMARY KEY, hash text NOT NULL, state int NOT NULL, body text)";
const FLOOR_CLAIM = {
  name: "claim",
  text: "INSERT INTO keys (key, hash, state) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
};
const FLOOR_COMPLETE = {
  name: "complete",
  text: "UPDATE keys SET state = 1, body = $1 WHERE key = $2",
};
const FLOOR_READ = { name: "read", text: "SELECT hash, state, body FROM keys WHERE key = $1" };

const BUSINESS_TABLE = "CREATE TABLE orders (id text NOT NULL, body text NOT NULL)";
const BUSINESS_INSERT = { name: "order", text: "INSERT INTO orders (id, body) VALUES ($1, $2)" };

const insertOrder = (client: pg.ClientBase, number: number) =>
  client.query({ ...BUSINESS_INSERT, values: [`o-${number}`, RESULT_TEXT] });

async function onMigrated() {
  const { pool, close } = await onDatabase();
  await migrate(pool);
  await pool.query(BUSINESS_TABLE);
  return { pool, close, store: postgresStore(pool) };
}

export const postgresSubjects: Subjects = {
  "postgres transaction floor": async () => {
    const { pool, close } = await onMigrated();
    const run = async (number: number) => {
      const client = await pool.connect();
      await client.query("BEGIN");
      await insertOrder(client, number);
      await client.query("COMMIT");
      client.release();
    };
    return { run, close };
  },

  "postgres transaction idemkit": async () => {
    const { store, close } = await onMigrated();
    const engine = createEngine({ store });
    const run = (number: number) =>
      engine.transaction("bench", `key-${number}`, PAYLOAD, async (tx) => {
        await insertOrder(tx, number);
        return RESULT;
      });
    return { run, close };
  },

  "postgres batch floor": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "one by one"), close };
  },

  "postgres batch idemkit": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "together"), close };
  },

  "postgres fresh floor": async () => {
    const { pool, close } = await onDatabase();
    await pool.query(FLOOR_TABLE);
    const run = async (number: number) => {
      const key = `key-${number}`;
      const { rowCount } = await pool.query({ ...FLOOR_CLAIM, values: [key, floorHash()] });
      if (rowCount !== 1) throw new Error("claimed already");
      const body = JSON.stringify(await Promise.resolve(RESULT));
      await pool.query({ ...FLOOR_COMPLETE, values: [body, key] });
    };
    return { run, close };
  },

  "postgres fresh idemkit": async () => {
    const { pool, close } = await onDatabase();
    await migrate(pool);
    const run = execute(postgresStore(pool));
    return { run: (number) => run(`key-${number}`), close };
  },

  "postgres replay floor": async () => {
    const { pool, close } = await onDatabase();
    await pool.query(FLOOR_TABLE);
    const fill = "INSERT INTO keys SELECT 'key-' || n, $1, 1, $2 FROM generate_series(0, $3) n";
    await pool.query(fill, [floorHash(), RESULT_TEXT, REPLAYED_KEYS - 1]);
    const run = async (number: number) => {
      const values = [`key-${number % REPLAYED_KEYS}`];
      const { rows } = await pool.query({ ...FLOOR_READ, values });
      const [row] = rows as readonly { readonly hash: string; readonly body: string }[];
      if (row?.hash !== floorHash()) throw new Error("conflict");
      return JSON.parse(row.body) as unknown;
    };
    return { run, close };
  },

  "postgres replay idemkit": async () => {
    const { pool, close } = await onDatabase();
    await migrate(pool);
    return { run: await filled(execute(postgresStore(pool))), close };
  },
};
