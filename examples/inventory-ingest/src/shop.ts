import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DoomedDispatch } from "./doomed-process.ts";
import { Inventory } from "./inventory.ts";
import type { OrderRef } from "./routing.ts";
import { FakeWarehouse } from "./warehouse.ts";

/** Short, so that nobody has to wait long for what a killed process has left. */
const LEASE_MS = 1_000;

/** How another process of this example is run from its sources. */
export const EXEC_ARGV = ["--conditions=@idemkit/source", "--import", "tsx"];

/** An inventory with its warehouse, in a folder that goes with it. */
export class Shop {
  readonly inventory: Inventory;
  readonly warehouse: FakeWarehouse;
  readonly #places: Places;

  /** @param database where it is; without it, a file in the folder */
  static async open(database?: string): Promise<Shop> {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-inventory-"));
    const places: Places = {
      folder,
      database: database ?? `sqlite:${join(folder, "inventory.db")}`,
      warehouse: join(folder, "warehouse.db"),
    };
    const warehouse = new FakeWarehouse(places.warehouse);
    const options = { database: places.database, warehouse, leaseMs: LEASE_MS };
    return new Shop(await Inventory.open(options), warehouse, places);
  }

  private constructor(inventory: Inventory, warehouse: FakeWarehouse, places: Places) {
    this.inventory = inventory;
    this.warehouse = warehouse;
    this.#places = places;
  }

  get database(): string {
    return this.#places.database;
  }

  /** Another process's view of the same: it shares nothing with this one but the database. */
  async another(warehouse = this.warehouse): Promise<Inventory> {
    return await Inventory.open({ database: this.database, warehouse, leaseMs: LEASE_MS });
  }

  /** Has a process of its own dispatch an order, and kills it when the warehouse has heard. */
  async dispatchInProcessThatDies(order: OrderRef): Promise<void> {
    const script = fileURLToPath(new URL("doomed-process.ts", import.meta.url));
    const { database, warehouse } = this.#places;
    const doomed: DoomedDispatch = { database, warehouse, leaseMs: LEASE_MS, order };
    const child = fork(script, [JSON.stringify(doomed)], { execArgv: EXEC_ARGV });
    const exited = once(child, "exit");
    child.on("message", () => child.kill("SIGKILL"));
    const [code, signal] = await exited;
    if (signal !== "SIGKILL") throw new Error(`the process ended by itself, with code ${code}`);
  }

  async close(): Promise<void> {
    await this.inventory.close();
    this.warehouse.close();
    rmSync(this.#places.folder, { recursive: true, force: true });
  }
}

interface Places {
  readonly folder: string;
  readonly database: string;
  readonly warehouse: string;
}
