import { createEngine, type TransactionalEngine } from "@idemkit/engine";
import { migrate, postgresStore } from "@idemkit/store-postgres";
import pg from "pg";
import type { Row, ShopDatabase, Value, Write } from "./database.ts";
import { STOCK_UP, TABLES } from "./tables.ts";

/** Two processes that create the same table at once fail in Postgres: one does it at a time. */
const ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7242201)";

/** A shop in a Postgres database. */
export class ShopOnPostgres implements ShopDatabase<pg.PoolClient, false> {
  readonly #pool: pg.Pool;
  readonly engine: TransactionalEngine<pg.PoolClient, false>;

  static async open(connectionString: string): Promise<ShopOnPostgres> {
    const pool = new pg.Pool({ connectionString });
    // Without a listener, the end of an idle connection would end the process.
    pool.on("error", () => undefined);
    const shop = new ShopOnPostgres(pool);
    try {
      await migrate(pool);
      await shop.#transaction(async (client) => {
        for (const sql of [ONE_AT_A_TIME, ...TABLES, STOCK_UP.postgres]) await client.query(sql);
      });
      return shop;
    } catch (error) {
      await shop.close();
      throw error;
    }
  }

  private constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.engine = createEngine({ store: postgresStore(pool) });
  }

  async rows(sql: string, values: readonly Value[]): Promise<readonly Row[]> {
    const { rows } = await this.#pool.query<Row>(numbered(sql), [...values]);
    return rows;
  }

  async write(writes: readonly Write[]): Promise<void> {
    await this.#transaction((client) => this.writeIn(client, writes, undefined));
  }

  async writeIn<T>(tx: pg.PoolClient, writes: readonly Write[], value: T): Promise<T> {
    for (const { sql, values, ifNone } of writes) {
      const { rowCount } = await tx.query(numbered(sql), [...values]);
      if (rowCount === 0) throw ifNone();
    }
    return value;
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.#pool.end();
  }

  async #transaction(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const client = await this.#pool.connect();
    let isBroken = true;
    try {
      await client.query("BEGIN");
      await work(client);
      await client.query("COMMIT");
      isBroken = false;
    } finally {
      // A connection that is thrown away takes its open transaction with it.
      client.release(isBroken);
    }
  }
}

/** Postgres numbers its parameters. None of the shop's statements has a `?` in a text. */
function numbered(sql: string): string {
  let number = 0;
  return sql.replaceAll("?", () => {
    number += 1;
    return `$${number}`;
  });
}
