import { drizzle } from "drizzle-orm/mysql2";
import { createPool as createCallbackPool } from "mysql2";
import { createPool, type Pool, type PoolOptions } from "mysql2/promise";
import type { MysqlClient } from "../src/index.ts";

/** Where to leave what has to be undone: `onTestFinished`, or `afterAll` for a whole group. */
export type CleanUp = (undo: () => Promise<void>) => void;

const CONNECTIONS = 8;

export type ClientName = "mysql2/promise" | "mysql2" | "drizzle";

type Connect = (uri: string, cleanUp: CleanUp, max?: number) => MysqlClient;

/** Every kind of client, on a database of this server. */
export const clients: Readonly<Record<ClientName, Connect>> = {
  "mysql2/promise": (uri, cleanUp, connectionLimit = CONNECTIONS) =>
    pool(uri, cleanUp, { connectionLimit }),
  mysql2: (uri, cleanUp) => {
    const made = createCallbackPool({ uri, connectionLimit: CONNECTIONS });
    cleanUp(() => made.promise().end());
    return made;
  },
  drizzle: (uri, cleanUp) => drizzle({ client: pool(uri, cleanUp) }),
};

/** A pool that ends with its user. */
export function pool(uri: string, cleanUp: CleanUp, options: PoolOptions = {}): Pool {
  const made = createPool({ uri, connectionLimit: CONNECTIONS, ...options });
  cleanUp(() => made.end());
  return made;
}
