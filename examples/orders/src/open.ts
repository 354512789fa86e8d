import { Broker } from "./broker.ts";
import type { ShopDatabase } from "./database.ts";
import { ShopOnMysql } from "./on-mysql.ts";
import { ShopOnPostgres } from "./on-postgres.ts";
import { ShopOnSqlite } from "./on-sqlite.ts";
import { OrderService, type Watcher } from "./order-service.ts";
import { PaymentProvider } from "./payment-provider.ts";
import { Publisher } from "./publisher.ts";

/** Where a shop is, and the two that it deals with. */
export interface Places {
  /** `sqlite:path`, `postgres://…` or `mysql://…`. */
  readonly database: string;
  /** The files of the payment provider and of the broker, who are somebody else's. */
  readonly ledger: string;
  readonly messages: string;
}

export interface OpenOptions {
  readonly leaseMs?: number;
  /** Default: a duplicate of running work is told to come back. */
  readonly waitMs?: number;
  readonly watch?: Watcher;
}

/** A shop that is open, on whatever database. */
export interface OpenShop {
  readonly orders: Pick<OrderService<never, never>, "placeOrder">;
  readonly publisher: Pick<Publisher<never, never>, "publish">;
  readonly provider: PaymentProvider;
  readonly broker: Broker;
  readonly database: Pick<ShopDatabase<never, never>, "rows" | "write">;
  close(): Promise<void>;
}

/** The address is of no database that is known here. */
export class UnknownDatabaseError extends Error {
  override readonly name = "UnknownDatabaseError";
}

/** @throws UnknownDatabaseError */
export async function openShop(places: Places, options: OpenOptions = {}): Promise<OpenShop> {
  const { database } = places;
  if (database.startsWith("sqlite:")) {
    return assembled(await ShopOnSqlite.open(database.slice("sqlite:".length)), places, options);
  }
  if (/^postgres(ql)?:/.test(database)) {
    return assembled(await ShopOnPostgres.open(database), places, options);
  }
  if (/^(mysql|mariadb):/.test(database)) {
    return assembled(await ShopOnMysql.open(database), places, options);
  }
  throw new UnknownDatabaseError("Expected sqlite:path, postgres://… or mysql://….");
}

function assembled<Tx, IsSync extends boolean>(
  database: ShopDatabase<Tx, IsSync>,
  { ledger, messages }: Places,
  { leaseMs, waitMs, watch = () => undefined }: OpenOptions,
): OpenShop {
  const provider = new PaymentProvider(ledger);
  const broker = new Broker(messages);
  const engine = database.engine.with({
    ...(leaseMs !== undefined && { leaseMs }),
    ...(waitMs !== undefined && { onDuplicate: { waitMs } }),
  });
  return {
    orders: new OrderService(database, provider, { engine, watch }),
    publisher: new Publisher(database, broker, { engine, watch }),
    provider,
    broker,
    database,
    close: async () => {
      await database.close();
      provider.close();
      broker.close();
    },
  };
}
