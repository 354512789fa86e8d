import { setImmediate as turn } from "node:timers/promises";
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
  reserve(): Promise<PostgresJsQueryable & { release(): void }>;
  begin(options: string, work: (sql: PostgresJsQueryable) => Promise<unknown>): Promise<unknown>;
}

export function postgresJsDatabase(sql: PostgresJs): Database {
  return {
    ...runOn(sql),
    session: async (work) => {
      const reserved = await sql.reserve();
      try {
        return await work(runOn(reserved));
      } finally {
        reserved.release();
      }
    },
    transaction: async <T>(
      work: (queries: Queries, tx: unknown, attempt: Attempt) => Promise<T>,
      { isolation, settings }: { readonly isolation?: string; readonly settings?: string },
    ) => {
      const options = isolation === undefined ? "" : `isolation level ${isolation}`;
      const begun = async (inner: PostgresJsTransaction) => {
        const queries = runOn(inner);
        if (settings !== undefined) await queries.run(settings, []);
        // It remembers each query that has failed, but for those on a savepoint of its own.
        const attempt: Attempt = async (attempted) => (await inner.savepoint(attempted)) as never;
        return await work(queries, inner, attempt);
      };
      return (await transact(sql, options, begun)) as T;
    },
    within: postgresJsWithin,
  };
}

type Work = (inner: PostgresJsTransaction) => Promise<unknown>;

/** What sends statements, of all that a transaction of postgres.js has. */
const SENDING: ReadonlySet<unknown> = new Set(["unsafe", "savepoint", "notify", "file"]);

/**
 * Begins, works and commits or rolls back as `sql.begin` does, and keeps the process alive when the connection is
 * lost. postgres.js 3.4.9 writes a statement on a lost connection to `null`, outside of every promise, and so it
 * does with its own ROLLBACK. Once the transaction is over, nothing is sent in it any more, and the driver never
 * learns how the work has ended.
 */
export async function transact(sql: PostgresJs, options: string, work: Work): Promise<unknown> {
  let isOver = false;
  let end: (reason: Error) => void = () => undefined;
  const over = new Promise<never>((_resolve, reject) => {
    end = reject;
  });
  over.catch(() => undefined);
  const ended = () =>
    new Error("The transaction is over: it has ended, or its connection was lost.");
  const refuseLate = () => {
    if (isOver) throw ended();
  };
  const run = async (inner: PostgresJsTransaction, inside: Work): Promise<unknown> => {
    try {
      const made: unknown = inside(guarded(inner, refuseLate, run, over));
      return await (Array.isArray(made) ? Promise.all(made) : made);
    } finally {
      // A lost connection rejects the statement first, and the transaction later in the same turn.
      await turn();
      if (isOver) await new Promise<never>(() => undefined);
    }
  };
  try {
    return await sql.begin(options, (inner) => run(inner as PostgresJsTransaction, work));
  } finally {
    isOver = true;
    end(ended());
  }
}

/** The transaction as its users know it, with a check before each statement. */
function guarded(
  inner: PostgresJsTransaction,
  check: () => void,
  run: (nested: PostgresJsTransaction, inside: Work) => Promise<unknown>,
  over: Promise<never>,
): PostgresJsTransaction {
  return new Proxy(inner, {
    apply: (target, self, given) => {
      check();
      return Reflect.apply(target as never, self, given);
    },
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (!SENDING.has(name)) return value;
      return (...given: unknown[]) => {
        check();
        const inside = given.at(-1);
        // The savepoint's function is the last argument; before it there may be a name.
        if (name === "savepoint" && typeof inside === "function") {
          given[given.length - 1] = (nested: PostgresJsTransaction) => run(nested, inside as Work);
        }
        const sent = Reflect.apply(value as never, target, given) as unknown;
        if (name !== "savepoint") return sent;
        // The driver never learns of the end of a savepoint whose connection was lost; its caller has to.
        const settled = Promise.race([sent, over]);
        settled.catch(() => undefined);
        return settled;
      };
    },
  });
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
