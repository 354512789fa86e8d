import { beforeEach, onTestFinished } from "vitest";
import type { Inventory } from "../src/inventory.ts";
import { Shop } from "../src/shop.ts";
import type { StockLine } from "../src/stock.ts";

/** Makes the database of one test, and answers where it is; nothing for a file in the shop's folder. */
export type Open = () => Promise<string | undefined>;

const CROWD = 20;
export const SHOP = "bern";

export function line(location: string, quantity: number, product = "T1"): StockLine {
  return { product, location, quantity };
}

/** What each test has for itself: a shop on a new database, and ways to look into it. */
export class Scene {
  #shop: Shop | undefined;

  /** A scene that is set anew for each test of the group that this is called in. */
  static forEach(open: Open): Scene {
    const scene = new Scene();
    beforeEach(async () => {
      const shop = await Shop.open(await open());
      scene.#shop = shop;
      return () => shop.close();
    });
    return scene;
  }

  get shop(): Shop {
    if (this.#shop === undefined) throw new Error("The scene is there in tests alone.");
    return this.#shop;
  }

  get inventory(): Inventory {
    return this.shop.inventory;
  }

  async count(table: string): Promise<number> {
    const [row] = await this.inventory.queries.all<{ readonly n: number }>(
      `SELECT count(*) AS n FROM ${table} WHERE shop = $1`,
      SHOP,
    );
    return row?.n ?? 0;
  }

  /** What is where, of the one product of most tests. */
  async stock(column = "quantity"): Promise<Readonly<Record<string, number>>> {
    const rows = await this.inventory.queries.all<{ location: string; n: number }>(
      `SELECT location, ${column} AS n FROM stock WHERE shop = $1 ORDER BY location`,
      SHOP,
    );
    return Object.fromEntries(rows.map(({ location, n }) => [location, n]));
  }

  /** Twenty at once, by two inventories that share nothing but the database. */
  async crowd<T>(call: (one: Inventory, index: number) => Promise<T>): Promise<readonly T[]> {
    const other = await this.shop.another();
    onTestFinished(() => other.close());
    const both = [this.inventory, other];
    return await Promise.all(
      Array.from({ length: CROWD }, (_, index) => call(both[index % 2] ?? other, index)),
    );
  }

  async supply(...lines: readonly StockLine[]): Promise<void> {
    await this.inventory.ingestStock(SHOP, { mode: "absolute", day: "2026-11-20", lines });
  }
}
