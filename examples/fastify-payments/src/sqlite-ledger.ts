import { createEngine, type TransactionalEngine } from "@idemkit/engine";
import { type CheckOptions, migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type Database from "better-sqlite3";
import type { Charge } from "./charge.ts";
import { type AccountCharge, chargeOf, type Ledger, type Row, rowOf } from "./ledger.ts";

type Db = Database.Database;

const TABLE = `
  CREATE TABLE IF NOT EXISTS charges (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('succeeded', 'failed')),
    created_s INTEGER NOT NULL
  ) STRICT`;

const INSERT = `
  INSERT INTO charges (id, account, amount, currency, source, metadata, status, created_s)
  VALUES (@id, @account, @amount, @currency, @source, @metadata, @status, @created_s)`;

const FIND = "SELECT * FROM charges WHERE id = ? AND account = ?";

/** A ledger in a SQLite file. */
export class SqliteLedger implements Ledger<Db> {
  readonly engine: TransactionalEngine<Db, true>;
  readonly #db: Db;

  static async open(path: string, options: CheckOptions = {}): Promise<SqliteLedger> {
    const db = openSqlite(path);
    await migrate(db);
    db.exec(TABLE);
    const store = sqliteStore(db);
    await store.check(options);
    return new SqliteLedger(db, createEngine({ store }));
  }

  private constructor(db: Db, engine: TransactionalEngine<Db, true>) {
    this.#db = db;
    this.engine = engine;
  }

  insertIn<T>(tx: Db, charge: AccountCharge, after: () => T): T {
    tx.prepare(INSERT).run(rowOf(charge));
    return after();
  }

  async insert(charge: AccountCharge): Promise<void> {
    this.insertIn(this.#db, charge, () => undefined);
  }

  async find(id: string, account: string): Promise<Charge | undefined> {
    const row = this.#db.prepare(FIND).get(id, account) as Row | undefined;
    return row && chargeOf(row);
  }

  async close(): Promise<void> {
    this.#db.close();
  }
}
