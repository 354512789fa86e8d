import { createEngine, type TransactionalEngine } from "@idemkit/engine";
import { type CheckOptions, migrate, postgresStore } from "@idemkit/store-postgres";
import pg from "pg";
import type { Charge } from "./charge.ts";
import { type AccountCharge, chargeOf, type Ledger, type Row, rowOf } from "./ledger.ts";

const TABLE = `
  CREATE TABLE IF NOT EXISTS charges (
    id text PRIMARY KEY,
    account text NOT NULL,
    amount integer NOT NULL,
    currency text NOT NULL,
    source text NOT NULL,
    metadata text NOT NULL,
    status text NOT NULL CHECK (status IN ('succeeded', 'failed')),
    created_s integer NOT NULL
  )`;

const INSERT = `
  INSERT INTO charges (id, account, amount, currency, source, metadata, status, created_s)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`;

const FIND = "SELECT * FROM charges WHERE id = $1 AND account = $2";

/** A ledger in a Postgres database. */
export class PostgresLedger implements Ledger<pg.PoolClient> {
  readonly engine: TransactionalEngine<pg.PoolClient, false>;
  readonly #pool: pg.Pool;

  static async open(connectionString: string, options: CheckOptions = {}): Promise<PostgresLedger> {
    const pool = new pg.Pool({ connectionString });
    // Without a listener, the end of an idle connection would end the process.
    pool.on("error", () => undefined);
    await migrate(pool);
    await pool.query(TABLE);
    const store = postgresStore(pool);
    await store.check(options);
    return new PostgresLedger(pool, createEngine({ store }));
  }

  private constructor(pool: pg.Pool, engine: TransactionalEngine<pg.PoolClient, false>) {
    this.#pool = pool;
    this.engine = engine;
  }

  async insertIn<T>(tx: pg.PoolClient, charge: AccountCharge, after: () => T): Promise<T> {
    await this.#insertBy(tx, charge);
    return after();
  }

  async insert(charge: AccountCharge): Promise<void> {
    await this.#insertBy(this.#pool, charge);
  }

  async find(id: string, account: string): Promise<Charge | undefined> {
    const { rows } = await this.#pool.query<Row>(FIND, [id, account]);
    return rows[0] && chargeOf(rows[0]);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #insertBy(by: Pick<pg.Pool, "query">, charge: AccountCharge): Promise<void> {
    const { id, account, amount, currency, source, metadata, status, created_s } = rowOf(charge);
    const values = [id, account, amount, currency, source, metadata, status, created_s];
    await by.query(INSERT, values);
  }
}
