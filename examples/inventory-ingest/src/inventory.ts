import { type Database, openDatabase, type Queries } from "./database.ts";
import { type Ingested, ingestProducts, type Product } from "./products.ts";
import { Routing } from "./routing.ts";
import {
  type AbsoluteAnswer,
  type AbsoluteBatch,
  type DeltaAnswer,
  type DeltaBatch,
  ingestAbsolute,
  ingestDelta,
} from "./stock.ts";
import type { Warehouse } from "./warehouse.ts";

const LEASE_MS = 30_000;

export interface InventoryOptions {
  /** `sqlite:path` or `postgres://…` */
  readonly database: string;
  readonly warehouse: Warehouse;
  /** How long a dispatch holds without a sign of life from its process. */
  readonly leaseMs?: number;
}

/** The data API of a shop system: products, stock and orders come in, and may come in again. */
export class Inventory {
  readonly routing: Routing;
  readonly #database: Database;

  static async open(options: InventoryOptions): Promise<Inventory> {
    return new Inventory(await openDatabase(options.database), options);
  }

  private constructor(database: Database, { warehouse, leaseMs = LEASE_MS }: InventoryOptions) {
    this.#database = database;
    this.routing = new Routing({ database, warehouse, leaseMs });
  }

  /** To look into the tables with. */
  get queries(): Queries {
    return this.#database;
  }

  async ingestProducts(shop: string, products: readonly Product[]): Promise<readonly Ingested[]> {
    return await ingestProducts(this.#database, shop, products);
  }

  async ingestStock(shop: string, batch: AbsoluteBatch): Promise<AbsoluteAnswer>;
  async ingestStock(shop: string, batch: DeltaBatch): Promise<DeltaAnswer>;
  async ingestStock(shop: string, batch: AbsoluteBatch | DeltaBatch) {
    return batch.mode === "delta"
      ? await ingestDelta(this.#database, shop, batch)
      : await ingestAbsolute(this.#database, shop, batch);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}
