import { describe, expect, test } from "vitest";
import type { Product } from "../src/products.ts";
import { type Open, Scene, SHOP } from "./scene.ts";

const teapot: Product = { sku: "T1", title: "Teapot", brand: "Alma", priceCents: 2_400 };

/** What is promised of products. */
export function productPromises(open: Open): void {
  describe("products (A1)", () => {
    const scene = Scene.forEach(open);
    test("are created, then unchanged, then updated with the fields that changed", async () => {
      const send = (product: Product) => scene.inventory.ingestProducts(SHOP, [product]);
      const cheaper = { ...teapot, priceCents: 2_000, title: "Tea pot" };
      expect(await send(teapot)).toEqual([{ sku: "T1", result: "created" }]);
      expect(await send(teapot)).toEqual([{ sku: "T1", result: "unchanged" }]);
      const updated = { sku: "T1", result: "updated", changedFields: ["title", "priceCents"] };
      expect(await send(cheaper)).toEqual([updated]);
      expect(await send(cheaper)).toEqual([{ sku: "T1", result: "unchanged" }]);
      const log = await scene.inventory.queries.all(
        `SELECT sku, revision, changed_fields AS "fields" FROM product_log WHERE shop = $1`,
        SHOP,
      );
      expect(log).toEqual([{ sku: "T1", revision: 2, fields: "title priceCents" }]);
    });

    test("sent by twenty at once are created once, and each change is logged once", async () => {
      const results = async (price: number) => {
        const sent = await scene.crowd(async (one, index) => {
          const both = [{ ...teapot, sku: "T2" }, teapot];
          const sorted = index % 4 < 2 ? both : both.toReversed();
          const products = sorted.map((product) => ({ ...product, priceCents: price }));
          return await one.ingestProducts(SHOP, products);
        });
        return sent.flat().map(({ result }) => result);
      };
      const created = await results(1);
      expect(created.filter((result) => result === "created")).toHaveLength(2);
      expect(created.filter((result) => result === "updated")).toEqual([]);
      const updated = await results(2);
      expect(updated.filter((result) => result === "updated")).toHaveLength(2);
      expect([await scene.count("products"), await scene.count("product_log")]).toEqual([2, 2]);
    });

    test("of one sku belong to their shop", async () => {
      await scene.inventory.ingestProducts(SHOP, [teapot]);
      const [elsewhere] = await scene.inventory.ingestProducts("genf", [teapot]);
      expect(elsewhere).toEqual({ sku: "T1", result: "created" });
    });
  });
}
