import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { createApp } from "./app.ts";
import { Orders } from "./orders.ts";

const PURGE_EVERY_MS = 3_600_000;
const IDLE_CHECK_MS = 50;

export interface Service {
  readonly port: number;
  /** Ends it: running requests are answered first, as long as `graceMs` lasts. */
  close(graceMs: number): Promise<void>;
}

/**
 * Starts the order API on this machine.
 *
 * @param path of the SQLite file that has orders, stock and idemkit's records
 * @param port 0 for any that is free
 */
export async function startService(path: string, port: number): Promise<Service> {
  const db = openSqlite(path);
  await migrate(db);
  // To place an order again finds the order, and to change it again counts as the last change. So
  // work whose process died may be run again by the next attempt, and need not wait for an operator.
  const engine = createEngine({ store: sqliteStore(db), guarantee: "at-least-once" });
  const server = createApp(engine, new Orders(db)).listen(port, "127.0.0.1");
  await once(server, "listening");
  const report = (error: unknown) => process.stderr.write(`purge: ${error}\n`);
  const purging = setInterval(() => void engine.purge().catch(report), PURGE_EVERY_MS);
  return {
    port: (server.address() as AddressInfo).port,
    close: async (graceMs) => {
      clearInterval(purging);
      const closed = once(server, "close");
      server.close();
      // A connection that has got its answer would wait for another request.
      const idling = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
      await Promise.race([closed, pause(graceMs, undefined, { ref: false })]);
      clearInterval(idling);
      // Its store needs the handle until it is closed.
      await engine.close({ graceMs: 1_000 });
      server.closeAllConnections();
      await closed;
      db.close();
    },
  };
}
