import type { Attempt, Database } from "../queries.ts";
import { onConnection, type PgPool, pgDatabase, pgWithin } from "./pg.ts";
import { type PostgresJs, postgresJsDatabase, postgresJsWithin, transact } from "./postgres-js.ts";

/** A drizzle database on one of the drivers. */
export interface DrizzleDatabase {
  readonly $client: PgPool | PostgresJs;
  readonly transaction: (...work: never) => Promise<unknown>;
}

/** What has transactions: a database, a session, and a transaction, whose transactions are savepoints. */
interface Transacting {
  transaction(work: (tx: Transacting) => Promise<unknown>, config?: object): Promise<unknown>;
}

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
      const begun = async (tx: Transacting) => {
        const queries = within(tx);
        if (settings !== undefined) await queries.run(settings, []);
        const attempt: Attempt = async (attempted) => (await tx.transaction(attempted)) as never;
        return await work(queries, tx, attempt);
      };
      const config = isolation === undefined ? undefined : { isolationLevel: isolation };
      if (!isPg) {
        const begin = (inside: never) => transact(db.$client as PostgresJs, "", inside);
        return (await sessionOn(db, { begin }).transaction(begun, config)) as never;
      }
      return await onConnection(db.$client as PgPool, async (client) => {
        return (await sessionOn(db, client).transaction(begun, config)) as never;
      });
    },
  };
}

/**
 * Drizzle's session on another client. On pg that is a connection which we have taken out of the pool: drizzle
 * gives back none whose BEGIN has failed, and does not listen to the error of one that is lost at COMMIT, which
 * ends the process. On postgres.js it is one whose transactions survive the loss of their connection.
 */
function sessionOn(db: DrizzleDatabase, client: unknown): Transacting {
  const { session } = db as { readonly session?: object };
  if (session === undefined) {
    throw new TypeError(
      "client: expected a drizzle database with a session. Is its version supported?",
    );
  }
  return Object.create(session, { client: { value: client } }) as Transacting;
}

function connectionOf(tx: unknown): unknown {
  const { session } = Object(tx) as { readonly session?: { readonly client?: unknown } };
  if (session?.client !== undefined) return session.client;
  throw new TypeError("tx: expected what transaction() of drizzle hands to its function.");
}
