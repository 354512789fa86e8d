import { createEngine, type TransactionalEngine } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type Database from "better-sqlite3";
import type { Row, ShopDatabase, Value, Write } from "./database.ts";
import { STOCK_UP, TABLES } from "./tables.ts";

/** A shop in a SQLite file. One handle is one connection, so a transaction is one turn of the loop. */
export class ShopOnSqlite implements ShopDatabase<Database.Database, true> {
  readonly db: Database.Database;
  readonly engine: TransactionalEngine<Database.Database, true>;

  static async open(path: string): Promise<ShopOnSqlite> {
    const db = openSqlite(path);
    await migrate(db);
    for (const sql of [...TABLES, STOCK_UP.sqlite]) db.exec(sql);
    return new ShopOnSqlite(db);
  }

  private constructor(db: Database.Database) {
    this.db = db;
    this.engine = createEngine({ store: sqliteStore(db) });
  }

  async rows(sql: string, values: readonly Value[]): Promise<readonly Row[]> {
    return this.db.prepare(sql).all(...values) as Row[];
  }

  async write(writes: readonly Write[]): Promise<void> {
    this.db.transaction(() => this.writeIn(this.db, writes, undefined)).immediate();
  }

  writeIn<T>(tx: Database.Database, writes: readonly Write[], value: T): T {
    for (const { sql, values, ifNone } of writes) {
      if (tx.prepare(sql).run(...values).changes === 0) throw ifNone();
    }
    return value;
  }

  async close(): Promise<void> {
    await this.engine.close();
    this.db.close();
  }
}
