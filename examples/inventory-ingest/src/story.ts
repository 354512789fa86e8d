import type { OrderRef } from "./routing.ts";
import type { Shop } from "./shop.ts";
import type { DeltaBatch, StockLine } from "./stock.ts";

const CROWD = 20;
const teapot = { sku: "T1", title: "Teapot", brand: "Alma", priceCents: 2_400 };

function line(location: string, quantity: number): StockLine {
  return { product: teapot.sku, location, quantity };
}

/** Plays all of it once, in a shop of its own, and tells what came of each call. */
export async function tellStory(place: Shop, print: (text: string) => void): Promise<void> {
  const { inventory, warehouse } = place;
  // The database may be one that the story was played on before.
  const shop = `bern-${Date.now()}`;
  const tell = (came: string, gave: unknown) => print(`${came.padEnd(58)} ${JSON.stringify(gave)}`);

  const ingest = async (product: typeof teapot) => {
    const [answer] = await inventory.ingestProducts(shop, [product]);
    return answer;
  };
  tell("A product comes", await ingest(teapot));
  tell("and comes again", await ingest(teapot));
  tell("and comes with another price", await ingest({ ...teapot, priceCents: 2_000 }));

  const snapshot = { mode: "absolute", day: "2026-11-20" } as const;
  const lines = [line("north", 10), line("south", 4)];
  tell("The stock of a day comes", await inventory.ingestStock(shop, { ...snapshot, lines }));
  tell("and comes again", await inventory.ingestStock(shop, { ...snapshot, lines }));

  const sold: DeltaBatch = { mode: "delta", idempotencyKey: "till-1", lines: [line("north", -2)] };
  const answers = await Promise.all(
    Array.from({ length: CROWD }, () => inventory.ingestStock(shop, sold)),
  );
  const applied = answers.reduce((sum, answer) => sum + answer.lines_applied, 0);
  tell(`Two are sold, and it is said ${CROWD} times at once`, { lines_applied: applied });
  const more = { ...sold, lines: [line("north", -2), line("south", -1)] };
  tell("The same key with one line more", await inventory.ingestStock(shop, more));

  const order: OrderRef = { shop, sourceSystem: "web", externalOrderRef: "4711" };
  const request = { ...order, product: teapot.sku, quantity: 3 };
  tell("An order comes", await inventory.routing.route(request));
  tell("and comes again, and is decided anew", await inventory.routing.route(request));
  await place.dispatchInProcessThatDies(order);
  print("It is dispatched by a process that is killed when the warehouse has heard of it.");
  tell("It is dispatched again", await inventory.routing.dispatch(order));
  tell("What the warehouse has heard", warehouse.heard);
  tell("The order comes once more", await inventory.routing.route(request));

  await inventory.ingestStock(shop, { ...snapshot, day: "2026-11-21", lines: [line("north", 1)] });
  print("The next day there is one left in the north.");
  tell("The order is reallocated", await inventory.routing.reallocate(order));
  tell("What was decided about it", await inventory.routing.decisions(order));
  tell("What the warehouse is going to send", warehouse.plan);
}
