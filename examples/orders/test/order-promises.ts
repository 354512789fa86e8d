import { setTimeout as sleep } from "node:timers/promises";
import {
  ConflictError,
  InProgressError,
  LeaseLostError,
  OutcomeUnknownError,
  ReplayedError,
} from "@idemkit/engine";
import { expect, test } from "vitest";
import { InvalidOrderError } from "../src/order.ts";
import { CardDeclinedError, EMPTY_CARD } from "../src/payment-provider.ts";
import { persistently, traces, type World } from "./world.ts";

const STOCK = 100;
const DUPLICATES = 20;
const ROUNDS_MAX = 100;
const PAUSE_MS = 50;
const mugs = { sku: "mug", quantity: 2, card: "4242" } as const;
const broke = { ...mugs, card: EMPTY_CARD } as const;
const order = { customer: "ann", key: "k1", request: mugs } as const;

const nothing = {
  orders: 0,
  events: 0,
  unpublished: 0,
  reservations: 0,
  available: STOCK,
  charges: [],
  sent: [],
};
/** What exactly one order of two mugs leaves behind: the provider was asked to charge once. */
const oneOrder = {
  ...nothing,
  orders: 1,
  events: 1,
  unpublished: 1,
  available: STOCK - 2,
  charges: [1],
};

/** What the order service promises on every database. */
export function orderPromises(makeWorld: () => Promise<World>): void {
  placing(makeWorld);
  failing(makeWorld);
  losing(makeWorld);
  dying(makeWorld);
  publishing(makeWorld);
}

function placing(makeWorld: () => Promise<World>): void {
  test("an order leaves one charge, one order and one event", async () => {
    const shop = await (await makeWorld()).open();
    const { value, replayed } = await shop.orders.placeOrder("ann", "k1", mugs);
    expect([value.amountCents, value.chargeId, replayed]).toEqual([1800, "ch-1", false]);
    expect(await traces(shop)).toEqual(oneOrder);
  });

  test(`${DUPLICATES} duplicates at once in two processes make one order`, async () => {
    const world = await makeWorld();
    const shops = [await world.open({ waitMs: 20_000 }), await world.open({ waitMs: 20_000 })];
    const outcomes = await Promise.all(
      Array.from({ length: DUPLICATES / 2 }, () => shops)
        .flat()
        .map(({ orders }) => orders.placeOrder("ann", "k1", mugs)),
    );
    expect(new Set(outcomes.map(({ value }) => JSON.stringify(value))).size).toBe(1);
    expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1);
    for (const shop of shops) expect(await traces(shop)).toEqual(oneOrder);
  });

  test("a duplicate's receipt is made of the stored order", async () => {
    const shop = await (await makeWorld()).open();
    const first = await shop.orders.placeOrder("ann", "k1", mugs);
    const again = await shop.orders.placeOrder("ann", "k1", mugs);
    expect([again.value, again.replayed]).toEqual([first.value, true]);
    const correct = "UPDATE orders SET charge_id = ? WHERE id = ?";
    const values = ["ch-corrected", first.value.orderId];
    await shop.database.write([{ sql: correct, values, ifNone: () => new Error("no order") }]);
    const later = await shop.orders.placeOrder("ann", "k1", mugs);
    expect(later.value).toEqual({ ...first.value, chargeId: "ch-corrected" });
  });

  test("the command line places an order, and prints its receipt again", async () => {
    const world = await makeWorld();
    const place = ["place", "--customer", "ann", "--key", "k1", "--sku", "mug"];
    const calls = [...place, "--quantity", "2", "--card", "4242"];
    const [first, again] = [await world.command(...calls), await world.command(...calls)];
    expect([first.code, again.code, first.stderr]).toEqual([0, 0, ""]);
    const receipt = JSON.parse(first.stdout) as { readonly orderId: string };
    expect(receipt).toMatchObject({ chargeId: "ch-1", amountCents: 1800, replayed: false });
    expect(JSON.parse(again.stdout)).toEqual({ ...receipt, replayed: true });
    expect((await world.command("publish")).stdout).toBe('{"published":1}\n');
    const left = { ...oneOrder, unpublished: 0, sent: [`placed-${receipt.orderId}`] };
    expect(await traces(await world.open())).toEqual(left);
  });

  test("customers have keys of their own", async () => {
    const shop = await (await makeWorld()).open();
    await shop.orders.placeOrder("ann", "k1", mugs);
    await shop.orders.placeOrder("bob", "k1", mugs);
    await shop.orders.placeOrder("ann", "K1", mugs);
    expect(await traces(shop)).toMatchObject({ orders: 3, events: 3, charges: [1, 1, 1] });
  });

  test("a duplicate that comes while the first call runs is told to come back", async () => {
    const world = await makeWorld();
    const other = await world.open();
    let early: unknown;
    const shop = await world.open({
      watch: async (effect) => {
        if (!effect.startsWith("charge")) return;
        early = await other.orders.placeOrder("ann", "k1", mugs).catch((error: unknown) => error);
      },
    });
    await shop.orders.placeOrder("ann", "k1", mugs);
    expect(early).toBeInstanceOf(InProgressError);
    expect(await traces(shop)).toEqual(oneOrder);
  });
}

function failing(makeWorld: () => Promise<World>): void {
  test("a declined card gives the stock back, and every duplicate the failure", async () => {
    const effects: string[] = [];
    const shop = await (await makeWorld()).open({ watch: (effect) => void effects.push(effect) });
    const place = () => shop.orders.placeOrder("ann", "k1", broke);
    await expect(place()).rejects.toBeInstanceOf(CardDeclinedError);
    const again: unknown = await place().catch((error: unknown) => error);
    expect(again).toBeInstanceOf(ReplayedError);
    expect(again).toMatchObject({ cause: { code: "card_declined" } });
    expect(effects).toEqual(["reserve 2 × mug", "declined, give 2 × mug back"]);
    expect(await traces(shop)).toEqual(nothing);
  });

  test("what is not in stock is not charged", async () => {
    const shop = await (await makeWorld()).open();
    const many = { ...mugs, quantity: STOCK + 1 };
    await expect(shop.orders.placeOrder("ann", "k1", many)).rejects.toThrow(/not 101 of mug/);
    expect(await traces(shop)).toEqual(nothing);
  });

  test("the same key with other content is refused", async () => {
    const shop = await (await makeWorld()).open();
    await shop.orders.placeOrder("ann", "k1", mugs);
    const other = shop.orders.placeOrder("ann", "k1", { ...mugs, quantity: 3 });
    await expect(other).rejects.toBeInstanceOf(ConflictError);
    expect(await traces(shop)).toEqual(oneOrder);
  });

  test("what is wrong in itself does not use the key up", async () => {
    const shop = await (await makeWorld()).open();
    for (const wrong of [{ quantity: 0 }, { quantity: 1.5 }, { sku: "" }, { card: "4 2" }]) {
      const refused = shop.orders.placeOrder("ann", "k1", { ...mugs, ...wrong });
      await expect(refused).rejects.toBeInstanceOf(InvalidOrderError);
    }
    expect((await shop.orders.placeOrder("ann", "k1", mugs)).attempt).toBe(1);
    expect(await traces(shop)).toEqual(oneOrder);
  });

  test("an order that cannot be saved leaves no half of it, and a retry saves it", async () => {
    const world = await makeWorld();
    const rename = async (from: string, to: string) => {
      const sql = `UPDATE reservations SET id = ${to} WHERE sku = ?`;
      await shop.database.write([{ sql, values: [from], ifNone: () => new Error("none") }]);
    };
    const shop = await world.open({
      // Without its reservation the last statement of the commit fails, after the other two.
      watch: (effect) => (effect.startsWith("charge") ? rename("mug", "upper(id)") : undefined),
    });
    const place = () => shop.orders.placeOrder("ann", "k1", mugs);
    await expect(place()).rejects.toThrow(/somebody else/);
    expect(await traces(shop)).toEqual({
      ...oneOrder,
      orders: 0,
      events: 0,
      unpublished: 0,
      reservations: 1,
    });
    await rename("mug", "lower(id)");
    expect((await place()).attempt).toBe(2);
    expect(await traces(shop)).toEqual(oneOrder);
  });
}

function losing(makeWorld: () => Promise<World>): void {
  test("an order is saved only together with the outcome of its key", async () => {
    const shop = await (await makeWorld()).open();
    const ask = shop.provider.chargeFor.bind(shop.provider);
    // After the last step somebody drops the record: the outcome has no place to go to.
    shop.provider.chargeFor = async (key) => {
      const sql = "DELETE FROM idemkit_records";
      await shop.database.write([{ sql, values: [], ifNone: () => new Error("none") }]);
      return await ask(key);
    };
    const lost = shop.orders.placeOrder("ann", "k1", mugs);
    await expect(lost).rejects.toBeInstanceOf(LeaseLostError);
    const unsaved = { orders: 0, events: 0, unpublished: 0, reservations: 1 };
    expect(await traces(shop)).toEqual({ ...oneOrder, ...unsaved });
  });
}

function dying(makeWorld: () => Promise<World>): void {
  for (const { diesAt, charges, when } of [
    { diesAt: "reserve", charges: [], when: "after the stock is taken and before the charge" },
    { diesAt: "charge", charges: [1], when: "after the charge and before the order is saved" },
  ]) {
    test(`killed ${when}, a retry makes one order of it`, async () => {
      const world = await makeWorld();
      const shop = await world.open();
      await world.killAt(diesAt, order);
      const half = { orders: 0, reservations: 1, available: STOCK - 2, charges };
      expect(await traces(shop)).toMatchObject(half);
      const outcome = await persistently(() => shop.orders.placeOrder("ann", "k1", mugs));
      expect([outcome.attempt, outcome.replayed]).toEqual([2, false]);
      expect(await traces(shop)).toEqual(oneOrder);
    });
  }

  test("killed when the order is saved, a retry gets its receipt", async () => {
    const world = await makeWorld();
    const shop = await world.open();
    await world.killAt("save", order);
    const { replayed, attempt } = await shop.orders.placeOrder("ann", "k1", mugs);
    expect([replayed, attempt]).toEqual([true, 1]);
    expect(await traces(shop)).toEqual(oneOrder);
  });

  test("killed when the stock is given back, it is given back once", async () => {
    const world = await makeWorld();
    const shop = await world.open();
    await world.killAt("declined", { ...order, request: broke });
    const place = () => persistently(() => shop.orders.placeOrder("ann", "k1", broke));
    await expect(place()).rejects.toBeInstanceOf(CardDeclinedError);
    await expect(place()).rejects.toBeInstanceOf(ReplayedError);
    expect(await traces(shop)).toEqual(nothing);
  });

  test("where the provider cannot tell, the outcome is unknown until it can", async () => {
    const world = await makeWorld();
    const shop = await world.open();
    await world.killAt("charge", order);
    const place = () => persistently(() => shop.orders.placeOrder("ann", "k1", mugs));
    shop.provider.isDown = true;
    await expect(place()).rejects.toBeInstanceOf(OutcomeUnknownError);
    expect(await traces(shop)).toMatchObject({ orders: 0, charges: [1] });
    shop.provider.isDown = false;
    await place();
    expect(await traces(shop)).toEqual(oneOrder);
  });
}

function publishing(makeWorld: () => Promise<World>): void {
  test("each event is sent once, though a publisher is killed and two go on", async () => {
    const world = await makeWorld();
    const shops = [await world.open(), await world.open()] as const;
    for (const key of ["k1", "k2", "k3"]) await shops[0].orders.placeOrder("ann", key, mugs);
    await world.killAt("publish");
    const left = async () => (await traces(shops[0])).unpublished;
    expect(await left()).toBe(3);
    for (let rounds = 0; (await left()) > 0 && rounds < ROUNDS_MAX; rounds += 1) {
      await Promise.all(shops.map(({ publisher }) => publisher.publish()));
      await sleep(PAUSE_MS);
    }
    const { sent, unpublished } = await traces(shops[0]);
    expect([new Set(sent).size, sent.length, unpublished]).toEqual([3, 3, 0]);
  });
}
