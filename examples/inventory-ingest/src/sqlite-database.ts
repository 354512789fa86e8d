import { createEngine, type Engine } from "@idemkit/engine";
import { migrate, openSqlite, type SqliteStore, sqliteStore } from "@idemkit/store-sqlite";
import type Sqlite from "better-sqlite3";
import type { Database, Queries, Value, Work } from "./database.ts";
import { repeated, withCauses } from "./repetition.ts";
import { TABLES } from "./tables.ts";

/** A file, written through two handles: transactions of their own would stop everybody else's calls. */
export async function openSqliteDatabase(path: string): Promise<Database> {
  const records = openSqlite(path);
  await migrate(records);
  const database = new SqliteDatabase(records, openSqlite(path));
  await database.transaction((tx) => tx.all(TABLES.join(";")));
  return database;
}

class SqliteDatabase implements Database {
  readonly engine: Engine;
  readonly #records: Sqlite.Database;
  readonly #batches: Sqlite.Database;
  readonly #store: SqliteStore<Sqlite.Database>;
  readonly #queries: Queries;
  readonly #queriesInBatch: Queries;
  /** The transaction that is open on the handle, or was the last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(records: Sqlite.Database, batches: Sqlite.Database) {
    // While another process writes, the queue waits in turns of the event loop instead of blocking it.
    batches.pragma("busy_timeout = 0");
    this.#records = records;
    this.#batches = batches;
    this.#store = sqliteStore(batches);
    this.#queries = queriesOn(records);
    this.#queriesInBatch = queriesOn(batches);
    this.engine = createEngine({ store: sqliteStore(records) });
  }

  async all<Row>(statement: string, ...parameters: readonly Value[]): Promise<readonly Row[]> {
    return await this.#queries.all<Row>(statement, ...parameters);
  }

  async transaction<T>(work: Work<T>): Promise<T> {
    // A handle has one transaction at a time, and this one lasts for several turns of the event loop.
    const result = this.#last.then(() => repeated(() => this.#transact(work), isBusy));
    this.#last = result.catch(() => undefined);
    return await result;
  }

  async #transact<T>(work: Work<T>): Promise<T> {
    const db = this.#batches;
    db.exec("BEGIN IMMEDIATE");
    try {
      const engine = createEngine({ store: this.#store.bind(db) });
      const result = await work(this.#queriesInBatch, engine);
      db.exec("COMMIT");
      return result;
    } finally {
      // Some failures roll back by themselves.
      if (db.inTransaction) db.exec("ROLLBACK");
    }
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.#last;
    this.#batches.close();
    this.#records.close();
  }
}

function isBusy(error: unknown): boolean {
  return withCauses(error).some((cause) =>
    String((cause as { code?: unknown }).code).startsWith("SQLITE_BUSY"),
  );
}

/** Statements are prepared once for each handle. */
function queriesOn(db: Sqlite.Database): Queries {
  const prepared = new Map<string, Sqlite.Statement>();
  return {
    all: async <Row>(text: string, ...values: readonly Value[]) => {
      if (values.length === 0) {
        db.exec(text);
        return [];
      }
      const statement = prepared.get(text) ?? db.prepare(text.replaceAll("each_of(", "json_each("));
      prepared.set(text, statement);
      // SQLite takes $1 for a parameter of that name.
      const named = Object.fromEntries(values.map((value, index) => [`${index + 1}`, value]));
      if (statement.reader) return statement.all(named) as Row[];
      statement.run(named);
      return [];
    },
  };
}
