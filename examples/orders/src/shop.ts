import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TransactionalEngine } from "@idemkit/engine";
import type Database from "better-sqlite3";
import { Broker } from "./broker.ts";
import { killed } from "./doom.ts";
import type { Doomed } from "./doomed-process.ts";
import { ShopOnSqlite } from "./on-sqlite.ts";
import type { Places } from "./open.ts";
import { OrderService } from "./order-service.ts";
import { PaymentProvider } from "./payment-provider.ts";
import { Publisher } from "./publisher.ts";

type EngineOnSqlite = TransactionalEngine<Database.Database, true>;

const LEASE_MS = 30_000;

/** The shop of the story, on files of its own: database, engine, provider, broker and the service. */
export class Shop {
  readonly #database: ShopOnSqlite;
  readonly provider: PaymentProvider;
  readonly broker: Broker;
  readonly engine: EngineOnSqlite;
  readonly orders: OrderService<Database.Database, true>;
  readonly publisher: Publisher<Database.Database, true>;
  /** The effects since somebody last looked. */
  #effects: string[] = [];
  readonly #folder: string;
  readonly #places: Places;

  static async open(): Promise<Shop> {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-orders-"));
    return new Shop(folder, await ShopOnSqlite.open(join(folder, "shop.db")));
  }

  private constructor(folder: string, database: ShopOnSqlite) {
    this.#folder = folder;
    this.#database = database;
    this.#places = {
      database: `sqlite:${join(folder, "shop.db")}`,
      ledger: join(folder, "ledger.db"),
      messages: join(folder, "messages.db"),
    };
    this.provider = new PaymentProvider(this.#places.ledger);
    this.broker = new Broker(this.#places.messages);
    // A crowd of the same call waits for the first of it.
    this.engine = database.engine.with({ onDuplicate: { waitMs: 5_000 } });
    this.orders = this.serviceOn(this.engine);
    this.publisher = new Publisher(database, this.broker, {
      watch: (effect) => void this.#effects.push(effect),
    });
  }

  get db(): Database.Database {
    return this.#database.db;
  }

  /** The service on an engine with other defaults. */
  serviceOn(engine: EngineOnSqlite): OrderService<Database.Database, true> {
    const watch = (effect: string) => void this.#effects.push(effect);
    return new OrderService(this.#database, this.provider, { engine, watch });
  }

  /** What was done since the last call of this. */
  takeEffects(): readonly string[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  count(table: "orders" | "outbox" | "reservations"): number {
    const row = this.db.prepare(`SELECT count(*) AS count FROM ${table}`).get();
    return (row as { readonly count: number }).count;
  }

  available(sku: string): number {
    const row = this.db.prepare("SELECT available FROM stock WHERE sku = ?").get(sku);
    return (row as { readonly available: number }).available;
  }

  /** Has a process of its own do something, and kills it at an effect. */
  async killAt(diesAt: string, order?: Doomed["order"]): Promise<readonly string[]> {
    const work = order === undefined ? {} : { order };
    return await killed({ places: this.#places, leaseMs: LEASE_MS, diesAt, ...work });
  }

  async close(): Promise<void> {
    await this.#database.close();
    this.provider.close();
    this.broker.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
