import { createEngine, type Engine } from "@idemkit/engine";
import { migrate, type PostgresStore, postgresStore } from "@idemkit/store-postgres";
import pg from "pg";
import type { Database, Queries, Value, Work } from "./database.ts";
import { repeated, withCauses } from "./repetition.ts";
import { TABLES } from "./tables.ts";

const CONNECTIONS = 8;
const LOCK_TIMEOUT_MS = 10_000;
const STORE_TIMEOUT_MS = 30_000;
/** How long a process that was stopped may keep its rows from everybody else. */
const IDLE_MS_MAX = 60_000;

/** `CREATE TABLE IF NOT EXISTS` fails where two do it at once. The number is "inve" in ASCII. */
const TABLES_LOCK = "SELECT pg_advisory_xact_lock(1768846949)";
const BOUNDS = `
  SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS};
  SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS_MAX}`;

/** A deadlock, a serialization failure, a lock that came too late, a server that ends connections. */
const PASSING_CODES: ReadonlySet<unknown> = new Set(["40P01", "40001", "55P03", "57P01", "25P03"]);

/** The connection went, so that nobody knows whether what it was told last has happened. */
class ConnectionLostError extends Error {
  override readonly name = "ConnectionLostError";
}

/** Any number of processes may write at once: each transaction has a connection of its own. */
export async function openPostgresDatabase(url: string): Promise<Database> {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS, types });
  // Connections that the server ends while nobody uses them.
  pool.on("error", () => undefined);
  await migrate(pool);
  const database = new PostgresDatabase(pool);
  await database.transaction(async (tx) => {
    await tx.all(TABLES_LOCK);
    for (const table of TABLES) await tx.all(table);
  });
  return database;
}

class PostgresDatabase implements Database {
  readonly engine: Engine;
  readonly #pool: pg.Pool;
  readonly #store: PostgresStore<pg.PoolClient>;
  readonly #queries: Queries;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#store = postgresStore(pool);
    this.#queries = queriesOn(pool);
    this.engine = createEngine({ store: this.#store });
  }

  async all<Row>(statement: string, ...parameters: readonly Value[]): Promise<readonly Row[]> {
    return await this.#queries.all<Row>(statement, ...parameters);
  }

  async transaction<T>(work: Work<T>): Promise<T> {
    return await repeated(() => this.#transact(work), isPassing);
  }

  async #transact<T>(work: Work<T>): Promise<T> {
    const client = await this.#pool.connect().catch((cause: unknown) => {
      throw new ConnectionLostError("There is no connection to be had.", { cause });
    });
    let lost: Error | undefined;
    const listener = (error: Error) => {
      lost = error;
    };
    client.on("error", listener);
    let isOver = false;
    try {
      await client.query("BEGIN");
      await client.query(BOUNDS);
      const store = this.#store.bind(client);
      const engine = createEngine({ store, storeTimeoutMs: STORE_TIMEOUT_MS });
      const result = await work(queriesOn(client), engine);
      const { command } = await client.query("COMMIT");
      isOver = true;
      // A transaction in which a statement has failed is rolled back without an error.
      if (command !== "COMMIT") throw new Error("The transaction was rolled back.");
      return result;
    } catch (error) {
      isOver ||= await rolledBack(client);
      throw lost === undefined
        ? error
        : new ConnectionLostError("The connection was lost.", { cause: error });
    } finally {
      client.removeListener("error", listener);
      // A connection that is thrown away takes its open transaction with it.
      client.release(!isOver);
    }
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.#pool.end();
  }
}

async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  return await client.query("ROLLBACK").then(
    () => true,
    () => false,
  );
}

function isPassing(error: unknown): boolean {
  return withCauses(error).some(
    (cause) =>
      cause instanceof ConnectionLostError || PASSING_CODES.has((cause as { code?: unknown }).code),
  );
}

/** Counts are far from where a bigint would not fit into a number. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (type, format) =>
    type === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(type, format),
};

function queriesOn(queryable: pg.Pool | pg.PoolClient): Queries {
  return {
    all: async <Row>(text: string, ...values: readonly Value[]) => {
      const statement = text.replaceAll(/each_of\((\$\d+)\)/g, "jsonb_array_elements($1::jsonb)");
      const { rows } = await queryable.query(statement, [...values]);
      return rows as Row[];
    },
  };
}
