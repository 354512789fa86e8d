import { describe, expect, test } from "vitest";
import { CLIENTS } from "./clients.ts";
import { CALLS, doubledIn, figuresOf, load, lostIn, misjudgedIn } from "./load.ts";

const LOAD_MS_MAX = 120_000;
const SEED = Number(process.env.PAYMENTS_SEED ?? 7);

for (const [index, [name, clientAt]] of Object.entries(CLIENTS).entries()) {
  const seed = SEED + index;
  describe(`connections of ${name} are cut at random, seed ${seed}`, () => {
    test("each order is charged once", { timeout: LOAD_MS_MAX }, async ({ annotate }) => {
      const loaded = await load(clientAt, seed, true);
      const figures = figuresOf(loaded);
      await annotate(JSON.stringify(figures));
      expect(figures.calls).toBe(CALLS);
      for (const seen of [...figures.cuts, figures.retries, figures.replayed]) {
        expect(seen).toBeGreaterThan(0);
      }
      expect(doubledIn(loaded.rows)).toEqual([]);
      expect(lostIn(loaded)).toEqual([]);
      expect(misjudgedIn(loaded.calls)).toEqual([]);
      // The derived key would hide a handler that has run twice.
      expect(loaded.authorisations.filter(({ timesAsked }) => timesAsked > 1)).toEqual([]);
      // A caller that has not kept the key cannot call again with it.
      if (!loaded.takesKeys) return;
      const again = await loaded.callAgain();
      expect(again.calls.filter(({ charged }) => charged === undefined)).toEqual([]);
      expect(lostIn(again)).toEqual([]);
      expect(new Set(again.rows.map(({ orderId }) => orderId)).size).toBe(CALLS);
      expect(again.authorisations.filter(({ timesAsked }) => timesAsked > 1)).toEqual([]);
      expect(again.rows.length).toBe(CALLS);
    });

    test("orders are charged twice without the plugin", { timeout: LOAD_MS_MAX }, async ({
      annotate,
    }) => {
      const loaded = await load(clientAt, seed, false);
      const figures = figuresOf(loaded);
      await annotate(JSON.stringify(figures));
      expect(figures.calls).toBe(CALLS);
      expect(doubledIn(loaded.rows)).not.toEqual([]);
      expect(figures.replayed).toBe(0);
    });
  });
}
