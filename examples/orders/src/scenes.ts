import { elapse } from "@idemkit/store-sqlite/testing";
import type { OrderRequest } from "./order.ts";
import { EMPTY_CARD } from "./payment-provider.ts";
import { described, line, promise, resultOf, type Scene, told } from "./scene.ts";
import type { Shop } from "./shop.ts";

const LEASE_MS = 30_000;
/** The lease of a killed process is over, and no late request of it is on its way any more. */
const SETTLED_MS = 2 * LEASE_MS;
const DAY_MS = 86_400_000;
const CROWD = 20;

const teapot: OrderRequest = { sku: "teapot", quantity: 1, card: "visa" };
const kettles: OrderRequest = { sku: "kettle", quantity: 2, card: "visa" };

/** The scenes of the story, in order. Each leaves the shop as the next one expects it. */
export const scenes: readonly ((shop: Shop) => Promise<Scene>)[] = [
  firstCall,
  retry,
  crowd,
  otherContent,
  declined,
  killedAndHealed,
  inDoubt,
  settled,
  published,
  expired,
];

function chargesFor(shop: Shop, key: string): number {
  return shop.provider.ledger.filter(({ reference }) => reference === key).length;
}

async function firstCall(shop: Shop): Promise<Scene> {
  const result = await resultOf(shop.orders.placeOrder("ann", "A1", teapot));
  return {
    title: "A first call runs",
    came: [described("ann", "A1", teapot)],
    ran: shop.takeEffects(),
    gave: [line(result)],
    promises: [
      promise("one order, one charge", shop.count("orders") === 1 && chargesFor(shop, "A1") === 1),
    ],
  };
}

async function retry(shop: Shop): Promise<Scene> {
  const result = await resultOf(shop.orders.placeOrder("ann", "A1", teapot));
  const ran = shop.takeEffects();
  return {
    title: "A retry gets the first outcome",
    came: [`${described("ann", "A1", teapot)}, again`],
    ran,
    gave: [line(result)],
    promises: [
      promise("nothing ran", ran.length === 0),
      promise(
        "the same receipt, read from the order",
        "outcome" in result && result.outcome.replayed && result.outcome.value.chargeId === "ch-1",
      ),
    ],
  };
}

async function crowd(shop: Shop): Promise<Scene> {
  const orders = shop.count("orders");
  const calls = Array.from({ length: CROWD }, () => shop.orders.placeOrder("bob", "B1", kettles));
  const outcomes = await Promise.all(calls);
  const receipts = new Set(outcomes.map(({ value }) => JSON.stringify(value)));
  const replays = outcomes.filter(({ replayed }) => replayed);
  const runs = outcomes.filter(({ replayed }) => !replayed);
  return {
    title: "Twenty at once make one order",
    came: [`${described("bob", "B1", kettles)}, ${CROWD} times at once`],
    ran: shop.takeEffects(),
    gave: [runs, replays].map((alike) => `${alike.length} × ${alike.slice(0, 1).map(told)}`),
    promises: [
      promise("one order", shop.count("orders") === orders + 1),
      promise("one charge", chargesFor(shop, "B1") === 1),
      promise("one receipt for all", receipts.size === 1 && replays.length === CROWD - 1),
    ],
  };
}

async function otherContent(shop: Shop): Promise<Scene> {
  const other = { ...teapot, quantity: 3 };
  const result = await resultOf(shop.orders.placeOrder("ann", "A1", other));
  const ran = shop.takeEffects();
  return {
    title: "The same key with other content is refused",
    came: [described("ann", "A1", other)],
    ran,
    gave: [line(result)],
    promises: [
      promise("nothing ran", ran.length === 0),
      promise("told of the conflict", line(result) === "PAYLOAD_CONFLICT"),
    ],
  };
}

async function declined(shop: Shop): Promise<Scene> {
  const broke = { ...teapot, card: EMPTY_CARD };
  const available = shop.available("teapot");
  const calls = [
    await resultOf(shop.orders.placeOrder("cem", "C1", broke)),
    await resultOf(shop.orders.placeOrder("cem", "C1", broke)),
  ];
  const gaveBack = shop.available("teapot") === available;
  const anew = await resultOf(shop.orders.placeOrder("cem", "C2", teapot));
  return {
    title: "A failure is an outcome too; a new key is a new attempt",
    came: [
      `${described("cem", "C1", broke)}, with an empty card, twice`,
      `${described("cem", "C2", teapot)}, with another card`,
    ],
    ran: shop.takeEffects(),
    gave: [...calls, anew].map(line),
    promises: [
      promise(
        "the retry got the same failure",
        calls.map(line).join() === "CardDeclinedError,REPLAYED_FAILURE ← CardDeclinedError",
      ),
      promise("nothing was charged, and the stock is back", !chargesFor(shop, "C1") && gaveBack),
      promise("the new key went through", "outcome" in anew && !anew.outcome.replayed),
    ],
  };
}

async function killedAndHealed(shop: Shop): Promise<Scene> {
  const ran = await shop.killAt("charge", { customer: "dea", key: "D1", request: teapot });
  const hasty = shop.serviceOn(shop.engine.with({ onDuplicate: "reject" }));
  const early = await resultOf(hasty.placeOrder("dea", "D1", teapot));
  elapse(shop.db, SETTLED_MS);
  const late = await resultOf(shop.orders.placeOrder("dea", "D1", teapot));
  const charges = shop.provider.ledger.filter(({ reference }) => reference === "D1");
  return {
    title: "Killed between the charge and the order: the retry heals it",
    came: [
      `${described("dea", "D1", teapot)}; its process gets SIGKILL`,
      "dea retries at once, and again two leases later",
    ],
    ran: [...ran, "SIGKILL", ...shop.takeEffects()],
    gave: [line(early), line(late)],
    promises: [
      promise("the first retry was told to come back", line(early) === "IN_PROGRESS"),
      promise(
        "the second asked the provider, and went on from the charge",
        "outcome" in late && late.outcome.attempt === 2 && !late.outcome.replayed,
      ),
      promise(
        "charged once, and asked to charge once",
        charges.length === 1 && charges[0]?.timesAsked === 1,
      ),
    ],
  };
}

async function inDoubt(shop: Shop): Promise<Scene> {
  const ran = await shop.killAt("charge", { customer: "eva", key: "E1", request: teapot });
  elapse(shop.db, SETTLED_MS);
  shop.provider.isDown = true;
  const result = await resultOf(shop.orders.placeOrder("eva", "E1", teapot));
  shop.provider.isDown = false;
  return {
    title: "Killed there too, and now the provider does not answer",
    came: [
      `${described("eva", "E1", teapot)}; its process gets SIGKILL`,
      "eva retries two leases later",
    ],
    ran: [...ran, "SIGKILL", ...shop.takeEffects()],
    gave: [line(result)],
    promises: [
      promise("the retry heard the truth: nobody knows", line(result) === "OUTCOME_UNKNOWN"),
      promise("charged once, never again by itself", chargesFor(shop, "E1") === 1),
    ],
  };
}

async function settled(shop: Shop): Promise<Scene> {
  const { records } = await shop.engine.list({ state: "lapsed" });
  const [open] = records;
  const charge = shop.provider.ledger.find(({ reference }) => reference === open?.key);
  if (open === undefined || charge === undefined) throw new Error("expected one open order");
  const { scope, key, token } = open;
  const value = await shop.orders.saveByHand(
    { customer: "eva", key, request: teapot },
    token,
    charge,
  );
  const why = `${charge.id} is in the provider's ledger`;
  await shop.engine.settle(scope, key, { as: "succeeded", value, by: "olga", why });
  const after = await resultOf(shop.orders.placeOrder("eva", "E1", teapot));
  return {
    title: "An operator settles the open order",
    came: [
      `olga lists what is open: ${records.map((record) => `key ${record.key}`).join(", ")}`,
      `olga finds ${charge.id} in the ledger, and settles: succeeded`,
      `${described("eva", "E1", teapot)}, again`,
    ],
    ran: shop.takeEffects(),
    gave: [line(after)],
    promises: [
      promise("exactly one order was open", records.length === 1),
      promise(
        "the retry gets the settled receipt",
        "outcome" in after && after.outcome.replayed && after.outcome.value.chargeId === charge.id,
      ),
      promise("still one charge", chargesFor(shop, "E1") === 1),
    ],
  };
}

async function published(shop: Shop): Promise<Scene> {
  const ran = await shop.killAt("publish");
  elapse(shop.db, SETTLED_MS);
  await shop.publisher.publish();
  const again = await shop.publisher.publish();
  const sent = shop.broker.sent.map(({ id }) => id);
  return {
    title: "Each order is announced once, though the publisher is killed",
    came: ["a publisher gets SIGKILL when it has sent an event", "another one goes on, twice"],
    ran: [...ran, "SIGKILL", ...shop.takeEffects()],
    gave: [`${sent.length} events`],
    promises: [
      promise(
        "one event for each order",
        new Set(sent).size === sent.length && sent.length === shop.count("orders"),
      ),
      promise("nothing was left to send", again === 0),
    ],
  };
}

async function expired(shop: Shop): Promise<Scene> {
  elapse(shop.db, DAY_MS);
  shop.provider.forgetKeys();
  const result = await resultOf(shop.orders.placeOrder("ann", "A1", teapot));
  const purged = await shop.engine.purge();
  return {
    title: "After a day the key is new",
    came: ["24 hours pass, at the provider too", described("ann", "A1", teapot)],
    ran: shop.takeEffects(),
    gave: [line(result), `${purged} expired records purged`],
    promises: [
      promise("a new order", "outcome" in result && !result.outcome.replayed),
      promise("what had expired is gone", purged > 0),
      promise("nothing is left reserved", shop.count("reservations") === 0),
    ],
  };
}
