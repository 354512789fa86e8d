import type { Database, Queries, TextRow } from "../queries.ts";

interface PgQueryable {
  query(config: {
    readonly text: string;
    readonly values?: unknown[];
    readonly name?: string;
    readonly rowMode: "array";
    readonly types?: { readonly getTypeParser: () => (text: string) => string };
  }): Promise<{ readonly rows: unknown[][] }>;
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
  connect(): Promise<PgConnection>;
}

/** Whatever parsers the application has set: values stay as the server sent them. */
const types = { getTypeParser: () => (text: string) => text };

export function pgDatabase(pool: PgPool): Database {
  return {
    ...runOn(pool),
    transaction: async (work, { isolation, settings }) => {
      const client = await pool.connect();
      let isBroken = true;
      try {
        return await listening(client, async () => {
          const queries = runOn(client);
          const begin = isolation === undefined ? "BEGIN" : `BEGIN ISOLATION LEVEL ${isolation}`;
          const text = settings === undefined ? begin : `${begin}; ${settings}`;
          await client.query({ text, rowMode: "array" });
          try {
            const result = await work(queries, client);
            await queries.run("COMMIT", []);
            isBroken = false;
            return result;
          } catch (error) {
            isBroken = !(await isRolledBack(queries));
            throw error;
          }
        });
      } finally {
        // A connection that is thrown away takes its open transaction with it.
        client.release(isBroken);
      }
    },
    within: pgWithin,
  };
}

/** @throws TypeError where it is no connection */
export function pgWithin(tx: unknown): Queries {
  if (typeof tx === "object" && tx !== null && "query" in tx && !("totalCount" in tx)) {
    return runOn(tx as PgConnection);
  }
  throw new TypeError("tx: expected a connection of pg on which a transaction was begun.");
}

/** The statement under way rejects as well; without a listener the process would end. */
export async function listening<T>(client: PgConnection, work: () => Promise<T>): Promise<T> {
  const ignore = () => undefined;
  client.on("error", ignore);
  try {
    return await work();
  } finally {
    client.removeListener("error", ignore);
  }
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
