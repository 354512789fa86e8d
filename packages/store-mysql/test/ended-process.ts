import { outliveConnections, startProxy } from "@idemkit/test-servers";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { PoolConnection as CallbackConnection, Pool as CallbackPool } from "mysql2";
import type { Pool, PoolConnection } from "mysql2/promise";
import { mysqlStore } from "../src/index.ts";
import { type ClientName, clients } from "./clients.ts";

type Connection = PoolConnection | CallbackConnection;

// Works on a server that ends its connections, and ends with code 0 only if it survives that.
const [name, url = ""] = process.argv.slice(2) as [ClientName, string];
const proxy = await startProxy(url);

function connect() {
  const client = clients[name](proxy.url, () => undefined);
  const driver = ("$client" in client ? client.$client : client) as Pool | CallbackPool;
  const pool = "promise" in driver ? driver.promise() : driver;
  return {
    store: mysqlStore(client) as never,
    hold: async () => {
      const held: Connection = await pool.getConnection();
      return () => held.release();
    },
    ask: (tx: Connection | MySql2Database) => {
      if ("select" in tx) return tx.execute("SELECT 1");
      return "promise" in tx ? tx.promise().query("SELECT 1") : tx.query("SELECT 1");
    },
    end: () => pool.end(),
  };
}

/** The error 1053, byte for byte as a server sends it when it is shut down. */
const message = Buffer.from("\xff\x1d\x04#08S01Server shutdown in progress", "latin1");
const head = Buffer.from([message.length, 0, 0, 0]);

await outliveConnections(proxy, Buffer.concat([head, message]), connect);
process.exit();
