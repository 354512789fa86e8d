import type { Queries, TextRow } from "../queries.ts";

interface PgQueryable {
  query(config: {
    readonly text: string;
    readonly values?: unknown[];
    readonly name?: string;
    readonly rowMode: "array";
    readonly types?: { readonly getTypeParser: () => (text: string) => string };
  }): Promise<{ readonly rows: unknown[][] }>;
}

/** A `Pool` of node-postgres. */
export interface PgPool extends PgQueryable {
  readonly totalCount: number;
  connect(): Promise<PgQueryable & { release(isBroken?: boolean): void }>;
}

/** Whatever parsers the application has set: values stay as the server sent them. */
const types = { getTypeParser: () => (text: string) => text };

export function pgQueries(pool: PgPool): Queries {
  return {
    ...runOn(pool),
    transaction: async (work) => {
      const client = await pool.connect();
      const queries = runOn(client);
      let isBroken = true;
      try {
        await queries.run("BEGIN", []);
        const result = await work({ ...queries, transaction: (inner) => inner(queries) });
        await queries.run("COMMIT", []);
        isBroken = false;
        return result;
      } finally {
        // A connection that is thrown away takes its open transaction with it.
        client.release(isBroken);
      }
    },
  };
}

function runOn(queryable: PgQueryable): Queries {
  const queries: Queries = {
    run: async (text, parameters, name) => {
      const values = [...parameters];
      const named = name === undefined ? {} : { name };
      const { rows } = await queryable.query({ text, values, rowMode: "array", types, ...named });
      return rows as unknown as TextRow[];
    },
    transaction: (work) => work(queries),
  };
  return queries;
}
