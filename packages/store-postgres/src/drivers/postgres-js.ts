import type { Attempt, Database, Queries, TextRow } from "../queries.ts";

interface PostgresJsQueryable {
  unsafe(
    text: string,
    parameters?: never[],
    options?: { readonly prepare?: boolean },
  ): { raw(): PromiseLike<unknown> };
}

interface PostgresJsTransaction extends PostgresJsQueryable {
  savepoint(work: (sql: never) => Promise<unknown>): Promise<unknown>;
}

/** The `sql` of postgres.js. */
export interface PostgresJs extends PostgresJsQueryable {
  begin(options: string, work: (sql: PostgresJsQueryable) => Promise<unknown>): Promise<unknown>;
}

export function postgresJsDatabase(sql: PostgresJs): Database {
  return {
    ...runOn(sql),
    transaction: async <T>(
      work: (queries: Queries, tx: unknown, attempt: Attempt) => Promise<T>,
      { isolation, settings }: { readonly isolation?: string; readonly settings?: string },
    ) => {
      const options = isolation === undefined ? "" : `isolation level ${isolation}`;
      const begun = async (inner: PostgresJsQueryable) => {
        const queries = runOn(inner);
        if (settings !== undefined) await queries.run(settings, []);
        // It remembers each query that has failed, but for those on a savepoint of its own.
        const attempt: Attempt = async (attempted) =>
          (await (inner as PostgresJsTransaction).savepoint(attempted)) as never;
        return await work(queries, inner, attempt);
      };
      return (await sql.begin(options, begun)) as T;
    },
    within: postgresJsWithin,
  };
}

/** @throws TypeError where it is no transaction */
export function postgresJsWithin(tx: unknown): Queries {
  if (typeof tx === "function" && "unsafe" in tx && !("begin" in tx)) {
    return runOn(tx as unknown as PostgresJsQueryable);
  }
  throw new TypeError("tx: expected what sql.begin of postgres.js hands to its function.");
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
