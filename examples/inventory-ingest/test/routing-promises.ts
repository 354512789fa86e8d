import { beforeEach, describe, expect, test } from "vitest";
import { OutOfStockError } from "../src/decisions.ts";
import { DispatchRefusedError } from "../src/instructions.ts";
import {
  type OrderRef,
  type OrderRequest,
  type Routed,
  UnknownOrderError,
} from "../src/routing.ts";
import { line, type Open, Scene, SHOP } from "./scene.ts";

const ref: OrderRef = { shop: SHOP, sourceSystem: "web", externalOrderRef: "4711" };
const order: OrderRequest = { ...ref, product: "T1", quantity: 3 };

function decisionOf(routed: Routed) {
  if (routed.idempotent) throw new Error("expected a decision, got an instruction");
  return routed.decision;
}

/** What is promised of an order. */
export function orderPromises(open: Open): void {
  describe("an order (A4)", () => {
    const scene = Scene.forEach(open);
    test("posted again before it is dispatched is decided anew", async () => {
      await scene.supply(line("north", 10), line("south", 4));
      const first = await scene.inventory.routing.route(order);
      expect(decisionOf(first)).toMatchObject({ location: "north", number: 1 });
      await scene.supply(line("north", 2), line("south", 4));
      const again = await scene.inventory.routing.route({ ...order, quantity: 4 });
      expect(decisionOf(again)).toMatchObject({ location: "south", number: 2, quantity: 4 });
      expect(again.orderId).toBe(first.orderId);
      const decisions = await scene.inventory.routing.decisions(ref);
      expect(decisions.map(({ number }) => number)).toEqual([2]);
      expect(await scene.stock("reserved")).toEqual({ north: 0, south: 4 });
    });

    test("posted again after it was dispatched gets its instruction", async () => {
      await scene.supply(line("north", 10), line("south", 4));
      await scene.inventory.routing.route(order);
      const { instruction } = await scene.inventory.routing.dispatch(ref);
      await scene.supply(line("north", 3), line("south", 40));
      const again = await scene.inventory.routing.route({ ...order, quantity: 1 });
      expect(again).toMatchObject({ idempotent: true, instruction });
      expect(await scene.stock("reserved")).toEqual({ north: 3, south: 0 });
      expect(await scene.count("decisions")).toBe(1);
    });

    test("posted by twenty at once is one order with one decision", async () => {
      await scene.supply(line("north", 10), line("south", 4));
      const routed = await scene.crowd((one) => one.routing.route(order));
      expect(new Set(routed.map(({ orderId }) => orderId)).size).toBe(1);
      expect([await scene.count("orders"), await scene.count("decisions")]).toEqual([1, 1]);
      expect(await scene.stock("reserved")).toEqual({ north: 3, south: 0 });
    });

    test("of which nothing is left is refused, and changes nothing", async () => {
      await scene.supply(line("north", 2));
      await expect(scene.inventory.routing.route(order)).rejects.toBeInstanceOf(OutOfStockError);
      expect(await scene.count("orders")).toBe(0);
    });
  });
}

/** What is promised of a dispatch. */
export function dispatchPromises(open: Open): void {
  describe("a dispatch (A5)", () => {
    const scene = Scene.forEach(open);
    beforeEach(async () => {
      await scene.supply(line("north", 10), line("south", 4));
      await scene.inventory.routing.route(order);
    });

    test("tells the warehouse once, under the key of the order", async () => {
      const first = await scene.inventory.routing.dispatch(ref);
      expect(first).toMatchObject({
        idempotent: false,
        instruction: { idempotencyKey: "web:4711" },
      });
      const again = await scene.inventory.routing.dispatch(ref);
      expect(again).toEqual({ instruction: first.instruction, idempotent: true });
      expect(scene.shop.warehouse.heard).toMatchObject([
        { location: "north", quantity: 3, revision: 1 },
      ]);
    });

    test("asked for by twenty at once tells the warehouse once", async () => {
      const dispatched = await scene.crowd((one) => one.routing.dispatch(ref));
      const refs = dispatched.map(({ instruction }) => instruction.warehouseRef);
      expect(new Set(refs)).toEqual(new Set(["w-1"]));
      expect(scene.shop.warehouse.heard).toHaveLength(1);
    });

    test("whose process is killed after the warehouse has heard tells nobody twice", async () => {
      await scene.shop.dispatchInProcessThatDies(ref);
      expect(await scene.inventory.routing.route(order)).toMatchObject({
        idempotent: true,
        instruction: { location: "north", warehouseRef: null },
      });
      const { instruction } = await scene.inventory.routing.dispatch(ref);
      expect([instruction.warehouseRef, scene.shop.warehouse.heard.length]).toEqual(["w-1", 1]);
      expect((await scene.inventory.routing.dispatch(ref)).idempotent).toBe(true);
    });

    test("of an order that nobody has posted is refused", async () => {
      const unknown = { ...ref, externalOrderRef: "4713" };
      const dispatch = scene.inventory.routing.dispatch(unknown);
      await expect(dispatch).rejects.toBeInstanceOf(UnknownOrderError);
    });

    test("under the key of another order, or another key, is refused", async () => {
      const other = { ...order, externalOrderRef: "4712" };
      await scene.inventory.routing.dispatch(ref, "mine");
      await scene.inventory.routing.route(other);
      await expect(scene.inventory.routing.dispatch(other, "mine")).rejects.toBeInstanceOf(
        DispatchRefusedError,
      );
      await expect(scene.inventory.routing.dispatch(ref)).rejects.toThrow(/another key/);
      expect(scene.shop.warehouse.heard).toHaveLength(1);
      expect((await scene.inventory.routing.route(other)).idempotent).toBe(false);
    });
  });
}

/** What is promised of a reallocation. */
export function reallocationPromises(open: Open): void {
  describe("a reallocation (A6)", () => {
    const scene = Scene.forEach(open);
    beforeEach(async () => {
      await scene.supply(line("north", 10), line("south", 4));
      await scene.inventory.routing.route(order);
    });

    test("supersedes an oversold decision, and the warehouse's instruction follows", async () => {
      const { instruction } = await scene.inventory.routing.dispatch(ref);
      await scene.supply(line("north", 2), line("south", 4));
      const moved = await scene.inventory.routing.reallocate(ref);
      expect(moved.successor).toMatchObject({ number: 2, location: "south" });
      expect(moved.instruction).toMatchObject({
        idempotencyKey: instruction.idempotencyKey,
        location: "south",
        revision: 2,
      });
      expect(await scene.inventory.routing.decisions(ref)).toMatchObject([
        { number: 1, location: "north", status: "superseded", successor: 2 },
        { number: 2, location: "south", status: "current", successor: null },
      ]);
      expect(await scene.count("instructions")).toBe(1);
      expect(scene.shop.warehouse.plan).toMatchObject([{ location: "south", revision: 2 }]);
      expect(await scene.stock("reserved")).toEqual({ north: 0, south: 3 });
    });

    test("asked for by twenty at once happens once", async () => {
      await scene.inventory.routing.dispatch(ref);
      await scene.supply(line("north", 2), line("south", 4));
      const moved = await scene.crowd((one) => one.routing.reallocate(ref));
      expect(moved.filter(({ successor }) => successor !== undefined)).toHaveLength(1);
      expect(await scene.count("decisions")).toBe(2);
      expect(scene.shop.warehouse.heard.map(({ revision }) => revision)).toEqual([1, 2]);
    });

    test("leaves alone what is not oversold, and what nobody was told of tells nobody", async () => {
      expect((await scene.inventory.routing.reallocate(ref)).successor).toBeUndefined();
      await scene.supply(line("north", 2), line("south", 4));
      const { successor, instruction } = await scene.inventory.routing.reallocate(ref);
      expect([successor?.location, instruction]).toEqual(["south", undefined]);
      expect(scene.shop.warehouse.heard).toEqual([]);
    });
  });
}
