import { Inventory } from "./inventory.ts";
import type { DeltaAnswer, DeltaBatch } from "./stock.ts";
import type { Warehouse } from "./warehouse.ts";

/** What a worker is asked, and what it answers. */
export interface Asked {
  readonly id: number;
  readonly shop: string;
  readonly batch: DeltaBatch;
}
export type Answered =
  | { readonly id: number; readonly answer: DeltaAnswer }
  | { readonly id: number; readonly failure: string };

const nobody: Warehouse = {
  tell: async () => {
    throw new Error("Nothing is dispatched under load.");
  },
  find: async () => undefined,
};

// Takes in batches until it is killed.
const inventory = await Inventory.open({ database: process.argv[2] ?? "", warehouse: nobody });
process.on("message", (asked: Asked) => void answer(asked));
process.on("disconnect", () => process.exit());
process.send?.("ready");

async function answer({ id, shop, batch }: Asked): Promise<void> {
  const answered: Answered = await inventory.ingestStock(shop, batch).then(
    (each) => ({ id, answer: each }),
    (error) => ({ id, failure: String(error?.stack ?? error) }),
  );
  process.send?.(answered);
}
