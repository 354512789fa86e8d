import type { Engine } from "@idemkit/engine";
import type { CheckOptions } from "@idemkit/store-sqlite";
import type { FastifyInstance } from "fastify";
import { type CardNetwork, PretendedNetwork } from "./card-network.ts";
import type { Ledger } from "./ledger.ts";
import { type PaymentApiOptions, paymentApi } from "./payment-api.ts";
import { PostgresLedger } from "./postgres-ledger.ts";
import { SqliteLedger } from "./sqlite-ledger.ts";

export interface OpenOptions
  extends Pick<PaymentApiOptions<never>, "accounts" | "isProtected" | "logLevel" | "watch"> {
  /** The path of a SQLite file, or `postgres://…`. */
  readonly database: string;
  /** What an outcome has to survive. Default: a power cut. */
  readonly durability?: CheckOptions["durability"];
  readonly leaseMs?: number;
  /** Default: one that forgets everything when it is closed. */
  readonly network?: CardNetwork;
}

export interface OpenPayments {
  readonly app: FastifyInstance;
  readonly engine: Engine;
}

/** A running request renews its lease. The key of a dead process is free after this. */
const LEASE_MS = 15_000;
const GRACE_MS = 10_000;
const PURGE_EVERY_MS = 60 * 60 * 1000;

/** Opens the API on a database. `app.close()` closes all of it. */
export async function openPayments(options: OpenOptions): Promise<OpenPayments> {
  const { database, durability, ...rest } = options;
  const check = durability && { durability };
  return /^postgres(ql)?:/.test(database)
    ? await assembled(await PostgresLedger.open(database, check), rest)
    : await assembled(await SqliteLedger.open(database, check), rest);
}

async function assembled<Tx>(
  ledger: Ledger<Tx>,
  { leaseMs = LEASE_MS, network = new PretendedNetwork(":memory:"), ...api }: Rest,
): Promise<OpenPayments> {
  const engine = ledger.engine.with({
    leaseMs,
    // At-most-once then resumes a request whose process died: the interrupted step asks the network.
    steps: true,
    // An approval and a decline are responses. After any other error a retry goes on: a step that is done is
    // skipped, and the network knows the derived key.
    onError: "release",
  });
  const app = await paymentApi({ ...api, engine, ledger, network });
  closeWith(app, { engine, ledger, network });
  return { app, engine };
}

type Rest = Omit<OpenOptions, "database" | "durability">;

/** Purges while the server runs, and closes everything in order. */
function closeWith<Tx>(
  app: FastifyInstance,
  { engine, ledger, network }: Pick<PaymentApiOptions<Tx>, "engine" | "ledger" | "network">,
): void {
  const purging = setInterval(() => {
    engine.purge().catch((error: unknown) => app.log.error(error));
  }, PURGE_EVERY_MS).unref();
  let isClosing = false;
  app.addHook("preClose", async () => {
    isClosing = true;
  });
  app.addHook("onSend", async (_request, reply) => {
    // A connection that is kept alive beyond its last response would hold the server up.
    if (isClosing) reply.header("connection", "close");
  });
  app.addHook("onClose", async () => {
    clearInterval(purging);
    // Fastify has responded to all requests by now. A handler may have outlived its response, and is
    // waited for; the database goes last, because outcomes are written until then.
    await engine.close({ graceMs: GRACE_MS });
    await ledger.close();
    network.close();
  });
}
