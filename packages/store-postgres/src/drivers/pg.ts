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

interface PgConnection extends PgQueryable {
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

export function pgQueries(pool: PgPool): Database {
  return {
    ...runOn(pool),
    transaction: async (work) => {
      const client = await pool.connect();
      const queries = runOn(client);
      let isBroken = true;
      // The statement under way rejects as well; without a listener the process would end.
      const ignore = () => undefined;
      client.on("error", ignore);
      try {
        await queries.run("BEGIN ISOLATION LEVEL READ COMMITTED", []);
        const result = await work(queries);
        await queries.run("COMMIT", []);
        isBroken = false;
        return result;
      } finally {
        // A connection that is thrown away takes its open transaction with it.
        client.removeListener("error", ignore);
        client.release(isBroken);
      }
    },
  };
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
