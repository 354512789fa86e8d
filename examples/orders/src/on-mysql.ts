import { createEngine, type TransactionalEngine } from "@idemkit/engine";
import { migrate, mysqlStore } from "@idemkit/store-mysql";
import {
  createPool,
  type Pool,
  type PoolConnection,
  type ResultSetHeader,
  type RowDataPacket,
} from "mysql2/promise";
import type { Row, ShopDatabase, Value, Write } from "./database.ts";
import { STOCK_UP, TABLES } from "./tables.ts";

/** By its default MySQL takes `K1` and `k1` for the same key. */
const TABLE_OPTIONS = "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/** A shop in a MySQL or MariaDB database. */
export class ShopOnMysql implements ShopDatabase<PoolConnection, false> {
  readonly #pool: Pool;
  readonly engine: TransactionalEngine<PoolConnection, false>;

  static async open(uri: string): Promise<ShopOnMysql> {
    const pool = createPool({ uri });
    const shop = new ShopOnMysql(pool);
    try {
      await migrate(pool);
      for (const sql of TABLES) await pool.query(`${sql} ${TABLE_OPTIONS}`);
      await pool.query(STOCK_UP.mysql);
      return shop;
    } catch (error) {
      await shop.close();
      throw error;
    }
  }

  private constructor(pool: Pool) {
    this.#pool = pool;
    this.engine = createEngine({ store: mysqlStore(pool) });
  }

  async rows(sql: string, values: readonly Value[]): Promise<readonly Row[]> {
    const [rows] = await this.#pool.query<RowDataPacket[]>(sql, [...values]);
    return rows;
  }

  async write(writes: readonly Write[]): Promise<void> {
    const connection = await this.#pool.getConnection();
    let isBroken = true;
    try {
      await connection.beginTransaction();
      await this.writeIn(connection, writes, undefined);
      await connection.commit();
      isBroken = false;
    } finally {
      // A connection that is thrown away takes its open transaction with it.
      if (isBroken) connection.destroy();
      else connection.release();
    }
  }

  async writeIn<T>(tx: PoolConnection, writes: readonly Write[], value: T): Promise<T> {
    for (const { sql, values, ifNone } of writes) {
      const [{ affectedRows }] = await tx.query<ResultSetHeader>(sql, [...values]);
      if (affectedRows === 0) throw ifNone();
    }
    return value;
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.#pool.end();
  }
}
