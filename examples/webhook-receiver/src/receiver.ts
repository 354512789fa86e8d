import { createEngine, type Engine } from "@idemkit/engine";
import { type IdempotencyState, idempotency } from "@idemkit/fastify";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type Sqlite from "better-sqlite3";
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { Webhook } from "standardwebhooks";
import { Accounts, credit } from "./accounts.ts";
import { depositIn } from "./events.ts";

export interface ReceiverOptions {
  /** The path of a SQLite file. It has the balances and idemkit's records. */
  readonly database: string;
  /** The sender's signing secret: `whsec_` and Base64. */
  readonly secret: string;
  /** Looks up how many euro cents one cent of a currency is. */
  readonly rateOf: (currency: string) => Promise<number>;
  /** How long a delivery of a dead process keeps its event, in milliseconds. */
  readonly leaseMs?: number;
}

export interface Receiver {
  readonly app: FastifyInstance;
  readonly engine: Engine;
  readonly accounts: Accounts;
}

const LEASE_MS = 15_000;
const GRACE_MS = 10_000;
const PURGE_EVERY_MS = 3_600_000;

/** Opens the receiver on a SQLite file. `app.close()` closes all of it. */
export async function openReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { database, secret, rateOf, leaseMs = LEASE_MS } = options;
  const db = openSqlite(database);
  await migrate(db);
  const accounts = new Accounts(db);
  const engine = createEngine({ store: sqliteStore(db), leaseMs });
  const app = Fastify();
  const webhook = new Webhook(secret);
  await app.register(idempotency, {
    engine,
    preset: "webhook",
    // One for each endpoint: a sender may deliver one event to two of them.
    scope: () => "deposits",
    key: ({ headers }: FastifyRequest) => textOf(headers["webhook-id"]),
    verify: ({ headers }, rawBody) => {
      webhook.verify(rawBody, headers as Record<string, string>); // throws if it does not match
      return true;
    },
  });
  app.post("/hooks/deposits", { config: { idempotency: true } }, async (request, reply) => {
    const deposit = depositIn(request.body);
    // An event of another type is taken, so that it is not sent again.
    if (deposit === undefined) return await reply.code(204).send();
    const amountCents = Math.round(deposit.amountCents * (await rateOf(deposit.currency)));
    // The balance and the outcome are in one commit: a crash leaves both or neither.
    return await claimOf(request).transaction<Sqlite.Database>((tx) => ({
      status: 200,
      body: { balanceCents: credit(tx, deposit.account, amountCents) },
    }));
  });
  const purging = setInterval(() => {
    engine.purge().catch((error: unknown) => app.log.error(error));
  }, PURGE_EVERY_MS).unref();
  app.addHook("onClose", async () => {
    clearInterval(purging);
    await engine.close({ graceMs: GRACE_MS });
    db.close();
  });
  return { app, engine, accounts };
}

function claimOf({ idempotency: claim }: FastifyRequest): IdempotencyState {
  if (claim !== undefined) return claim;
  throw new Error("Expected a protected route: a deposit must not be credited twice.");
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === "string" ? header : undefined;
}
