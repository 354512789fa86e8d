import type { Database, Queries, TextRow } from "../queries.ts";

interface PgQueryable {
  query(config: {
    readonly text: string;
    readonly values?: unknown[];
    readonly name?: string;
    readonly rowMode: "array";
    readonly types?: { readonly getTypeParser: () => (text: string) => string };
  }): Promise<{ readonly rows: unknown[][]; readonly command?: string }>;
}

/** A connection of {@link PgPool}. */
export interface PgConnection extends PgQueryable {
  on(name: "error", listener: () => void): unknown;
  removeListener(name: "error", listener: () => void): unknown;
  release(isBroken?: boolean): void;
}

/** A `Pool` of node-postgres. */
export interface PgPool extends PgQueryable {
  readonly totalCount: number;
  connect(callback: (error: Error | undefined, client?: PgConnection) => void): unknown;
}

const IN_FAILED_TRANSACTION = "25P02";

/** Whatever parsers the application has set: values stay as the server sent them. */
const types = { getTypeParser: () => (text: string) => text };

export function pgDatabase(pool: PgPool): Database {
  return {
    ...runOn(pool),
    transaction: (work, { isolation, settings }) =>
      onConnection(pool, async (client, queries) => {
        const begin = isolation === undefined ? "BEGIN" : `BEGIN ISOLATION LEVEL ${isolation}`;
        const text = settings === undefined ? begin : `${begin}; ${settings}`;
        await client.query({ text, rowMode: "array" });
        const result = await work(queries, client, (attempted) =>
          attempt(queries, () => attempted(client)),
        );
        const { command } = await client.query({ text: "COMMIT", rowMode: "array" });
        // That is how it answers where a statement has failed that nobody has waited for.
        if (command === "COMMIT") return result;
        const failed = new Error("A statement of the transaction has failed: it was rolled back.");
        throw Object.assign(failed, { code: IN_FAILED_TRANSACTION });
      }),
    within: pgWithin,
  };
}

/** A connection of the pool for as long as the work takes; one that cannot be rolled back is thrown away. */
export async function onConnection<T>(
  pool: PgPool,
  work: (client: PgConnection, queries: Queries) => Promise<T>,
): Promise<T> {
  const client = await connect(pool);
  const queries = runOn(client);
  let isBroken = false;
  try {
    return await work(client, queries);
  } catch (error) {
    isBroken = !(await isRolledBack(queries));
    throw error;
  } finally {
    client.removeListener("error", ignore);
    client.release(isBroken);
  }
}

/** The statement under way rejects as well; without a listener the process would end. */
const ignore = () => undefined;

/**
 * Takes a connection out of the pool and listens to its errors. The listener is added in the callback, and not
 * after an `await`: the chunk in which the server accepts a connection can also hold the FATAL that ends it.
 */
function connect(pool: PgPool): Promise<PgConnection> {
  return new Promise((resolve, reject) => {
    pool.connect((error, client) => {
      if (client === undefined) return reject(error);
      client.on("error", ignore);
      resolve(client);
    });
  });
}

async function attempt<T>(queries: Queries, work: () => Promise<T>): Promise<T> {
  await queries.run("SAVEPOINT idemkit_work", []);
  try {
    return await work();
  } catch (error) {
    await queries.run("ROLLBACK TO SAVEPOINT idemkit_work", []);
    throw error;
  }
}

/** @throws TypeError where it is no connection */
export function pgWithin(tx: unknown): Queries {
  if (typeof tx === "object" && tx !== null && "query" in tx && !("totalCount" in tx)) {
    return runOn(tx as PgConnection);
  }
  throw new TypeError("tx: expected a connection of pg on which a transaction was begun.");
}

async function isRolledBack(queries: Queries): Promise<boolean> {
  return await queries.run("ROLLBACK", []).then(
    () => true,
    () => false,
  );
}

function runOn(queryable: PgQueryable): Queries {
  return {
    run: async (text, parameters, name) => {
      const values = [...parameters];
      const named = name === undefined ? {} : { name };
      const { rows } = await queryable.query({ text, values, rowMode: "array", types, ...named });
      return rows as unknown as TextRow[];
    },
  };
}
