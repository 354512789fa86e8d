import type { Database, Queries, TextRow } from "../queries.ts";

interface PostgresJsQueryable {
  unsafe(
    text: string,
    parameters?: never[],
    options?: { readonly prepare?: boolean },
  ): { raw(): PromiseLike<unknown> };
}

/** The `sql` of postgres.js. */
export interface PostgresJs extends PostgresJsQueryable {
  begin(options: string, work: (sql: PostgresJsQueryable) => Promise<unknown>): Promise<unknown>;
}

export function postgresJsQueries(sql: PostgresJs): Database {
  return {
    ...runOn(sql),
    transaction: async <T>(work: (queries: Queries) => Promise<T>) =>
      (await sql.begin("isolation level read committed", (inner) => work(runOn(inner)))) as T,
  };
}

function runOn(sql: PostgresJsQueryable): Queries {
  return {
    run: async (text, parameters, name) => {
      // It names statements by their text.
      const named = name === undefined ? text : `${text} -- ${name}`;
      const options = { prepare: name !== undefined };
      // Whatever parsers and transforms the application has set: values stay as the server sent them.
      const rows = await sql.unsafe(named, [...parameters] as never[], options).raw();
      return (rows as readonly (readonly (Uint8Array | null)[])[]).map(textsOf);
    },
  };
}

function textsOf(row: readonly (Uint8Array | null)[]): TextRow {
  return row.map(
    (value) => value && Buffer.from(value.buffer, value.byteOffset, value.length).toString(),
  );
}
