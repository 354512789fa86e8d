import { createEngine, type Engine } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type { FastifyInstance } from "fastify";
import { type CardNetwork, PretendedNetwork } from "./card-network.ts";
import { Ledger } from "./ledger.ts";
import { type PaymentApiOptions, paymentApi } from "./payment-api.ts";

export interface OpenOptions
  extends Pick<PaymentApiOptions, "accounts" | "isProtected" | "logLevel"> {
  /** The path of a SQLite file. */
  readonly database: string;
  readonly leaseMs?: number;
  /** Default: one that approves at once, or after `networkMs`. */
  readonly network?: CardNetwork;
  readonly networkMs?: number;
}

export interface OpenPayments {
  readonly app: FastifyInstance;
  readonly engine: Engine;
}

/** A request that takes longer renews its lease; the key of a dead one is free after this. */
const LEASE_MS = 15_000;
const GRACE_MS = 10_000;
const PURGE_EVERY_MS = 60 * 60 * 1000;

/** Opens the API on a SQLite file. `app.close()` closes all of it. */
export async function openPayments(options: OpenOptions): Promise<OpenPayments> {
  const { database, leaseMs = LEASE_MS, networkMs = 0, ...api } = options;
  const { network = new PretendedNetwork(networkMs), ...rest } = api;
  const db = openSqlite(database);
  await migrate(db);
  const store = sqliteStore(db);
  await store.check();
  const engine = createEngine({
    store,
    // A request whose process died runs again. Here that is right: its charge has an id that is
    // derived from the key, in the ledger and at the network, so that a new run goes on with it.
    guarantee: "at-least-once",
    leaseMs,
  });
  const app = await paymentApi({ ...rest, engine, ledger: new Ledger(db), network });
  closeWith(app, engine, db);
  return { app, engine };
}

/** What is to be done while the server runs, and when it is told to stop. */
function closeWith(app: FastifyInstance, engine: Engine, db: { close(): unknown }): void {
  const purging = setInterval(() => {
    engine.purge().catch((error: unknown) => app.log.error(error));
  }, PURGE_EVERY_MS).unref();
  let isClosing = false;
  app.addHook("preClose", async () => {
    isClosing = true;
  });
  app.addHook("onSend", async (_request, reply) => {
    // A connection that is kept alive beyond its last answer would hold the server up.
    if (isClosing) reply.header("connection", "close");
  });
  app.addHook("onClose", async () => {
    clearInterval(purging);
    // Fastify has answered all requests by now. A handler may have outlived its answer, and is
    // waited for; the database goes last, as outcomes are written until then.
    await engine.close({ graceMs: GRACE_MS });
    db.close();
  });
}
