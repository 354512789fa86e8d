import { randomBytes } from "node:crypto";
import { createEngine } from "@idemkit/engine";
import { migrate, mysqlStore } from "@idemkit/store-mysql";
import {
  createConnection,
  createPool,
  type ResultSetHeader,
  type RowDataPacket,
} from "mysql2/promise";
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
  const url = new URL(process.env.IDEMKIT_BENCH_SERVER_URL ?? "");
  const name = `bench_${randomBytes(6).toString("hex")}`;
  const connection = await createConnection(String(url));
  await connection.query(`CREATE DATABASE ${name}`);
  await connection.end();
  url.pathname = `/${name}`;
  const pool = createPool({ uri: String(url), connectionLimit: CONNECTIONS });
  const close = async () => {
    await pool.query(`DROP DATABASE ${name}`);
    await pool.end();
  };
  return { pool, close };
}

/** What a careful engineer writes by hand: one prepared claim, one prepared completion, no fence. */
const FLOOR_TABLE =
  "CREATE TABLE `keys` (id VARCHAR(255) PRIMARY KEY, hash VARCHAR(64) NOT NULL, state INT NOT NULL, body TEXT)";
const FLOOR_CLAIM = "INSERT IGNORE INTO `keys` (id, hash, state) VALUES (?, ?, 0)";
const FLOOR_COMPLETE = "UPDATE `keys` SET state = 1, body = ? WHERE id = ?";
const FLOOR_READ = "SELECT hash, state, body FROM `keys` WHERE id = ?";

const BUSINESS_TABLE = "CREATE TABLE orders (id VARCHAR(64) NOT NULL, body TEXT NOT NULL)";
const BUSINESS_INSERT = "INSERT INTO orders (id, body) VALUES (?, ?)";

async function onMigrated() {
  const { pool, close } = await onDatabase();
  await migrate(pool);
  await pool.query(BUSINESS_TABLE);
  return { pool, close, store: mysqlStore(pool) };
}

export const mysqlSubjects: Subjects = {
  "mysql transaction floor": async () => {
    const { pool, close } = await onMigrated();
    const run = async (number: number) => {
      const connection = await pool.getConnection();
      await connection.beginTransaction();
      await connection.execute(BUSINESS_INSERT, [`o-${number}`, RESULT_TEXT]);
      await connection.commit();
      connection.release();
    };
    return { run, close };
  },

  "mysql transaction idemkit": async () => {
    const { store, close } = await onMigrated();
    const engine = createEngine({ store });
    const run = (number: number) =>
      engine.transaction("bench", `key-${number}`, PAYLOAD, async (tx) => {
        await tx.execute(BUSINESS_INSERT, [`o-${number}`, RESULT_TEXT]);
        return RESULT;
      });
    return { run, close };
  },

  "mysql batch floor": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "one by one"), close };
  },

  "mysql batch idemkit": async () => {
    const { store, close } = await onMigrated();
    return { run: batches(store, "together"), close };
  },

  "mysql fresh floor": async () => {
    const { pool, close } = await onDatabase();
    await pool.query(FLOOR_TABLE);
    const run = async (number: number) => {
      const key = `key-${number}`;
      const [claimed] = await pool.execute<ResultSetHeader>(FLOOR_CLAIM, [key, floorHash()]);
      if (claimed.affectedRows !== 1) throw new Error("claimed already");
      const body = JSON.stringify(await Promise.resolve(RESULT));
      await pool.execute(FLOOR_COMPLETE, [body, key]);
    };
    return { run, close };
  },

  "mysql fresh idemkit": async () => {
    const { pool, close } = await onDatabase();
    await migrate(pool);
    const run = execute(mysqlStore(pool));
    return { run: (number) => run(`key-${number}`), close };
  },

  "mysql replay floor": async () => {
    const { pool, close } = await onDatabase();
    await pool.query(FLOOR_TABLE);
    const rows = Array.from({ length: REPLAYED_KEYS }, (_, n) => [
      `key-${n}`,
      floorHash(),
      1,
      RESULT_TEXT,
    ]);
    await pool.query("INSERT INTO `keys` VALUES ?", [rows]);
    const run = async (number: number) => {
      const key = `key-${number % REPLAYED_KEYS}`;
      const [[row]] = await pool.execute<RowDataPacket[]>(FLOOR_READ, [key]);
      if (row?.hash !== floorHash()) throw new Error("conflict");
      return JSON.parse(row.body) as unknown;
    };
    return { run, close };
  },

  "mysql replay idemkit": async () => {
    const { pool, close } = await onDatabase();
    await migrate(pool);
    return { run: await filled(execute(mysqlStore(pool))), close };
  },
};
