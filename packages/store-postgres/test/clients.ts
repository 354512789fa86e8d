import { drizzle as onNodePostgres } from "drizzle-orm/node-postgres";
import { drizzle as onPostgresJs } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import type { PostgresClient } from "../src/index.ts";

/** Where to leave what has to be undone: `onTestFinished`, or `afterAll` for a whole group. */
export type CleanUp = (undo: () => Promise<void>) => void;

const CONNECTIONS = 8;
const END_TIMEOUT_S = 1;

export type ClientName = "pg" | "postgres.js" | "drizzle on pg" | "drizzle on postgres.js";

type Connect = (url: string, cleanUp: CleanUp, max?: number) => PostgresClient;

/** Every kind of client, on a database of this server. */
export const clients: Readonly<Record<ClientName, Connect>> = {
  pg: (url, cleanUp, max = CONNECTIONS) => pool(url, cleanUp, { max }),
  "postgres.js": (url, cleanUp, max) => sql(url, cleanUp, max),
  "drizzle on pg": (url, cleanUp) => onNodePostgres({ client: pool(url, cleanUp) }),
  "drizzle on postgres.js": (url, cleanUp) => onPostgresJs({ client: sql(url, cleanUp) }),
};

/** A pool that ends with its user. */
export function pool(url: string, cleanUp: CleanUp, options: pg.PoolConfig = {}): pg.Pool {
  const made = new pg.Pool({ connectionString: url, max: CONNECTIONS, ...options });
  // Connections that a test's server takes with it.
  made.on("error", () => undefined);
  cleanUp(() => made.end());
  return made;
}

/** A postgres.js client that ends with its user. */
export function sql(
  url: string,
  cleanUp: CleanUp,
  max = CONNECTIONS,
  options: postgres.Options<Record<string, postgres.PostgresType>> = {},
): postgres.Sql {
  const made = postgres(url, { max, onnotice: () => undefined, ...options });
  // It waits for ever for connections that were cut off, unless told for how long.
  cleanUp(() => made.end({ timeout: END_TIMEOUT_S }));
  return made;
}
