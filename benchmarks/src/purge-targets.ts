import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Store } from "@idemkit/engine";
import { migrate as migrateMysql, mysqlStore } from "@idemkit/store-mysql";
import { migrate as migratePostgres, postgresStore } from "@idemkit/store-postgres";
import { migrate as migrateSqlite, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { startMariaDb, startMysql, startPostgres, type TestServer } from "@idemkit/test-servers";
import { createPool } from "mysql2/promise";
import pg from "pg";

/** A store with as many expired records as were asked for, and nothing else. */
interface Target {
  readonly version: string;
  readonly store: Store;
  readonly close: () => Promise<void>;
}

const CONNECTIONS = 16;
const BODY = 'json:{"orderId":"o-4711","chargeId":"ch-4711","amountCents":10700}';
/** The columns that follow the digest, for a record that is as old as its number. */
const VALUES = `'5:bench', 'old', 'succeeded', '1:0', '${"0".repeat(32)}', n, 1, `;
const TIMES = `, n, n, n, n, NULL, NULL, NULL, '${BODY}'`;
const DIGITS = `(SELECT 0 AS n ${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `UNION ALL SELECT ${n}`).join(" ")})`;
/** The numbers from 1 to a million, in words of every product. */
const NUMBERS = `(
  SELECT a.n + b.n * 10 + c.n * 100 + d.n * 1000 + e.n * 10000 + f.n * 100000 + 1 AS n
  FROM ${["a", "b", "c", "d", "e", "f"].map((name) => `${DIGITS} AS ${name}`).join(", ")}) AS numbers`;

async function onMysql(server: TestServer, records: number): Promise<Target> {
  const url = new URL(server.url);
  const pool = createPool({ uri: String(url), connectionLimit: CONNECTIONS });
  await migrateMysql(pool);
  await pool.query("DELETE FROM idemkit_records");
  await pool.query(`INSERT INTO idemkit_records
    SELECT UNHEX(LEFT(SHA2(n, 256), 32)), ${VALUES} 0 ${TIMES} FROM ${NUMBERS} WHERE n <= ${records}`);
  await pool.query("ANALYZE TABLE idemkit_records");
  const close = async () => {
    await pool.end();
    await server.stop();
  };
  return { version: server.version, store: mysqlStore(pool), close };
}

export const targets: Readonly<Record<string, (records: number) => Promise<Target>>> = {
  postgres: async (records) => {
    const server = await startPostgres({ settings: { fsync: "on" } });
    const pool = new pg.Pool({ connectionString: server.url, max: CONNECTIONS });
    await migratePostgres(pool);
    await pool.query(`INSERT INTO idemkit_records
      SELECT gen_random_uuid(), ${VALUES} false ${TIMES} FROM ${NUMBERS} WHERE n <= ${records}`);
    await pool.query("VACUUM ANALYZE idemkit_records");
    const close = async () => {
      await pool.end();
      await server.stop();
    };
    return { version: server.version, store: postgresStore(pool), close };
  },

  mariadb: async (records) => {
    const settings = { "innodb-flush-log-at-trx-commit": "1" };
    return await onMysql(await startMariaDb({ settings }), records);
  },

  mysql: async (records) => {
    const server = await startMysql();
    if (server === undefined)
      throw new Error("There is no MySQL here: set IDEMKIT_TEST_MYSQL_URL.");
    return await onMysql(server, records);
  },

  sqlite: async (records) => {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-bench-"));
    const db = openSqlite(join(folder, "records.db"));
    await migrateSqlite(db);
    db.exec(`INSERT INTO idemkit_records
      SELECT randomblob(16), ${VALUES} 0 ${TIMES} FROM ${NUMBERS} WHERE n <= ${records}`);
    const close = async () => {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    };
    return { version: "SQLite", store: sqliteStore(db), close };
  },
};
