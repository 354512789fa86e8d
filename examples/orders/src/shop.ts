import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createEngine, type Engine, type Guarantee } from "@idemkit/engine";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type Database from "better-sqlite3";
import { type OrderRequest, OrderService } from "./order-service.ts";
import { PaymentProvider } from "./payment-provider.ts";
import { createShopTables } from "./tables.ts";

export interface Files {
  readonly shop: string;
  readonly ledger: string;
}

/** What a process that may die is to do. */
export interface DoomedOrder {
  readonly files: Files;
  readonly guarantee: Guarantee;
  readonly customer: string;
  readonly key: string;
  readonly request: OrderRequest;
}

/** The whole shop on files of its own: database, engine, provider, and the service in the middle. */
export class Shop {
  readonly db: Database.Database;
  readonly engine: Engine;
  readonly provider: PaymentProvider;
  readonly orders: OrderService;
  /** The effects since somebody last looked. */
  #effects: string[] = [];
  readonly #folder: string;
  readonly #files: Files;

  static async open(): Promise<Shop> {
    const shop = new Shop();
    await migrate(shop.db);
    createShopTables(shop.db);
    return shop;
  }

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "idemkit-orders-"));
    this.#files = { shop: join(this.#folder, "shop.db"), ledger: join(this.#folder, "ledger.db") };
    this.db = openSqlite(this.#files.shop);
    this.provider = new PaymentProvider(this.#files.ledger);
    this.engine = createEngine({
      store: sqliteStore(this.db),
      // A crowd of the same call waits for the first of it.
      duplicates: { waitMs: 5_000 },
    });
    this.orders = this.serviceOn(this.engine);
  }

  /** The service on an engine with other defaults. */
  serviceOn(engine: Engine): OrderService {
    return new OrderService(engine, this.db, this.provider, (effect) => this.#effects.push(effect));
  }

  /** What was done since the last call of this. */
  takeEffects(): readonly string[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  count(table: "orders" | "events"): number {
    const row = this.db.prepare(`SELECT count(*) AS count FROM ${table}`).get();
    return (row as { readonly count: number }).count;
  }

  available(sku: string): number {
    const row = this.db.prepare("SELECT available FROM stock WHERE sku = ?").get(sku);
    return (row as { readonly available: number }).available;
  }

  /** Has a process of its own place an order, and kills it between the charge and its answer. */
  async orderInProcessThatDies(doomed: Omit<DoomedOrder, "files">): Promise<readonly string[]> {
    const script = fileURLToPath(new URL("doomed-process.ts", import.meta.url));
    const order: DoomedOrder = { ...doomed, files: this.#files };
    const child = fork(script, [JSON.stringify(order)], {
      execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const exited = once(child, "exit");
    const effects: string[] = [];
    child.on("message", (effect: string) => {
      effects.push(effect);
      if (effect.startsWith("charge")) child.kill("SIGKILL");
    });
    const [code, signal] = await exited;
    if (signal !== "SIGKILL") throw new Error(`the process ended by itself, with code ${code}`);
    return effects;
  }

  async close(): Promise<void> {
    await this.engine.close();
    this.db.close();
    this.provider.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
