import { describe, expect, test } from "vitest";
import type { DeltaBatch, StockLine } from "../src/stock.ts";
import { line, type Open, Scene, SHOP } from "./scene.ts";

function delta(idempotencyKey: string, ...lines: readonly StockLine[]): DeltaBatch {
  return { mode: "delta", idempotencyKey, lines };
}

/** What is promised of a snapshot. */
export function snapshotPromises(open: Open): void {
  describe("a snapshot (A2)", () => {
    const scene = Scene.forEach(open);
    const lines = [line("north", 10), line("south", 4)];
    const snapshot = { mode: "absolute", day: "2026-11-20", lines } as const;

    test("sent again duplicates nothing, and the log gets the rows that changed", async () => {
      const first = await scene.inventory.ingestStock(SHOP, snapshot);
      expect(first).toEqual({ lines_changed: 2, lines_unchanged: 0 });
      const again = await scene.inventory.ingestStock(SHOP, snapshot);
      expect(again).toEqual({ lines_changed: 0, lines_unchanged: 2 });
      const corrected = { ...snapshot, lines: [line("north", 10), line("south", 5)] };
      const changed = await scene.inventory.ingestStock(SHOP, corrected);
      expect(changed).toEqual({ lines_changed: 1, lines_unchanged: 1 });
      expect(await scene.stock()).toEqual({ north: 10, south: 5 });
      expect([await scene.count("daily_stock"), await scene.count("stock_log")]).toEqual([2, 3]);
    });

    test("sent by twenty at once changes each row once", async () => {
      const answers = await scene.crowd((one) => one.ingestStock(SHOP, snapshot));
      const changed = answers.reduce((sum, answer) => sum + answer.lines_changed, 0);
      expect([changed, await scene.count("stock_log"), await scene.count("daily_stock")]).toEqual([
        2, 2, 2,
      ]);
    });

    test("sent again after a delta does not undo it", async () => {
      await scene.inventory.ingestStock(SHOP, snapshot);
      await scene.inventory.ingestStock(SHOP, delta("d1", line("north", -3)));
      await scene.inventory.ingestStock(SHOP, snapshot);
      expect(await scene.stock()).toEqual({ north: 7, south: 4 });
    });

    test("of an earlier day that comes late leaves the stock as it is", async () => {
      await scene.inventory.ingestStock(SHOP, snapshot);
      await scene.inventory.ingestStock(SHOP, {
        ...snapshot,
        day: "2026-11-19",
        lines: [line("north", 1)],
      });
      expect(await scene.stock()).toEqual({ north: 10, south: 4 });
      expect(await scene.count("daily_stock")).toBe(3);
    });

    test("that says two things of one place is refused", async () => {
      const twice = { ...snapshot, lines: [line("north", 1), line("north", 2)] };
      await expect(scene.inventory.ingestStock(SHOP, twice)).rejects.toThrow(/each product once/);
    });
  });
}

/** What is promised of a delta. */
export function deltaPromises(open: Open): void {
  describe("a delta (A3)", () => {
    const scene = Scene.forEach(open);
    test("is applied once, and its resend says so", async () => {
      const batch = delta("d1", line("north", 5), line("south", 2));
      const first = await scene.inventory.ingestStock(SHOP, batch);
      expect(first).toEqual({ lines_applied: 2, lines_deduped: 0, lines_conflicting: 0 });
      const again = await scene.inventory.ingestStock(SHOP, batch);
      expect(again).toEqual({ lines_applied: 0, lines_deduped: 2, lines_conflicting: 0 });
      expect(await scene.stock()).toEqual({ north: 5, south: 2 });
      await scene.inventory.ingestStock(SHOP, delta("d2", line("north", 5)));
      expect(await scene.stock()).toEqual({ north: 10, south: 2 });
    });

    test("that is half done is done to its end, and other content conflicts", async () => {
      await scene.inventory.ingestStock(SHOP, delta("d1", line("north", 5), line("south", 2)));
      const rest = delta(
        "d1",
        line("north", 5),
        line("south", 9),
        line("west", 1),
        line("west", 1),
      );
      const answer = await scene.inventory.ingestStock(SHOP, rest);
      expect(answer).toEqual({ lines_applied: 1, lines_deduped: 2, lines_conflicting: 1 });
      expect(await scene.stock()).toEqual({ north: 5, south: 2, west: 1 });
    });

    test("sent by twenty at once in overlapping parts is applied once", async () => {
      const all = Array.from({ length: 30 }, (_, index) => line(`l${index}`, index + 1));
      const answers = await scene.crowd((one, index) => {
        const part = all.slice(index % 10, 21 + (index % 10));
        return one.ingestStock(SHOP, delta("d1", ...(index % 3 === 0 ? part.toReversed() : part)));
      });
      expect(answers.reduce((sum, answer) => sum + answer.lines_applied, 0)).toBe(30);
      expect(answers.every((answer) => answer.lines_conflicting === 0)).toBe(true);
      expect(await scene.count("stock_log")).toBe(30);
      const expected = Object.fromEntries(
        all.map(({ location, quantity }) => [location, quantity]),
      );
      expect(await scene.stock()).toEqual(expected);
    });

    test("that fails half-way leaves nothing, and can be sent again", async () => {
      const tooMany = delta("d1", line("north", 5), line("x".repeat(300), 1));
      await expect(scene.inventory.ingestStock(SHOP, tooMany)).rejects.toMatchObject({
        code: "INVALID_KEY",
      });
      expect(await scene.stock()).toEqual({});
      const answer = await scene.inventory.ingestStock(SHOP, delta("d1", line("north", 5)));
      expect(answer.lines_applied).toBe(1);
    });

    test("keeps keys apart whose parts would join to the same text", async () => {
      const commas = [line("b,c", 1, "a"), line("c", 1, "a,b")];
      await scene.inventory.ingestStock(SHOP, delta("d1", ...commas, line("c", 1, 'a","b')));
      await scene.inventory.ingestStock(SHOP, delta('d1","a', line("c", 1, "b")));
      expect(await scene.count("stock_log")).toBe(4);
    });

    test("without a key is refused", async () => {
      await expect(scene.inventory.ingestStock(SHOP, delta("", line("north", 5)))).rejects.toThrow(
        /a delta needs one/,
      );
    });
  });
}
