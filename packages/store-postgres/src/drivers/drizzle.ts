import type { Database } from "../queries.ts";
import { listening, type PgConnection, type PgPool, pgDatabase, pgWithin } from "./pg.ts";
import { type PostgresJs, postgresJsDatabase, postgresJsWithin } from "./postgres-js.ts";

/** A drizzle database on one of the drivers. */
export interface DrizzleDatabase {
  readonly $client: PgPool | PostgresJs;
  readonly transaction: (...work: never) => Promise<unknown>;
}

type Transaction = (work: (tx: unknown) => Promise<unknown>, config?: object) => Promise<unknown>;

/**
 * Single statements go to the driver's client, which keeps their plans. A transaction is drizzle's, so
 * that its users get what they know; its connection is taken from its session.
 */
export function drizzleDatabase(db: DrizzleDatabase): Database {
  const isPg = typeof db.$client !== "function";
  const { run } = isPg
    ? pgDatabase(db.$client as PgPool)
    : postgresJsDatabase(db.$client as PostgresJs);
  const within = (tx: unknown) => {
    const client = connectionOf(tx);
    return isPg ? pgWithin(client) : postgresJsWithin(client);
  };
  return {
    run,
    within,
    transaction: async (work, { isolation, settings }) => {
      const begun = async (tx: unknown) => {
        const queries = within(tx);
        const end = async () => {
          if (settings !== undefined) await queries.run(settings, []);
          return await work(queries, tx);
        };
        return isPg ? await listening(connectionOf(tx) as PgConnection, end) : await end();
      };
      const config = isolation === undefined ? undefined : { isolationLevel: isolation };
      const transaction = db.transaction.bind(db) as unknown as Transaction;
      return (await transaction(begun, config)) as never;
    },
  };
}

function connectionOf(tx: unknown): unknown {
  const { session } = Object(tx) as { readonly session?: { readonly client?: unknown } };
  if (session?.client !== undefined) return session.client;
  throw new TypeError("tx: expected what transaction() of drizzle hands to its function.");
}
