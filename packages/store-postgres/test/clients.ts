import { drizzle as onNodePostgres } from "drizzle-orm/node-postgres";
import { drizzle as onPostgresJs } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import type { PostgresClient } from "../src/index.ts";

/** Where to leave what has to be undone: `onTestFinished`, or `afterAll` for a whole group. */
export type CleanUp = (undo: () => Promise<void>) => void;

const CONNECTIONS = 8;
const END_TIMEOUT_S = 1;

/** Every kind of client, on a database of this server. */
export const clients = {
  pg: (url: string, cleanUp: CleanUp, max = CONNECTIONS) => pool(url, cleanUp, { max }),
  "postgres.js": (url: string, cleanUp: CleanUp, max = CONNECTIONS) => sql(url, cleanUp, max),
  "drizzle on pg": (url: string, cleanUp: CleanUp, _max?: number) =>
    onNodePostgres({ client: pool(url, cleanUp) }),
  "drizzle on postgres.js": (url: string, cleanUp: CleanUp, _max?: number) =>
    onPostgresJs({ client: sql(url, cleanUp) }),
} satisfies Readonly<
  Record<string, (url: string, cleanUp: CleanUp, max?: number) => PostgresClient>
>;

export type ClientName = keyof typeof clients;

/** A pool that ends with its user. */
export function pool(url: string, cleanUp: CleanUp, options: pg.PoolConfig = {}): pg.Pool {
  const made = new pg.Pool({ connectionString: url, max: CONNECTIONS, ...options });
  // Connections that a test's server takes with it.
  made.on("error", () => undefined);
  cleanUp(() => made.end());
  return made;
}

/** A postgres.js client that ends with its user. */
export function sql(url: string, cleanUp: CleanUp, max = CONNECTIONS): postgres.Sql {
  const made = postgres(url, { max, onnotice: () => undefined });
  // It waits for ever for connections that were cut off, unless told for how long.
  cleanUp(() => made.end({ timeout: END_TIMEOUT_S }));
  return made;
}
