import { Inventory } from "./inventory.ts";
import type { OrderRef } from "./routing.ts";
import { FakeWarehouse } from "./warehouse.ts";

/** What a process that dies half-way is to dispatch. */
export interface DoomedDispatch {
  readonly database: string;
  readonly warehouse: string;
  readonly leaseMs: number;
  readonly order: OrderRef;
}

// Dispatches one order, and is killed from outside when the warehouse has heard but not yet answered.
const doomed = JSON.parse(process.argv[2] ?? "") as DoomedDispatch;
const warehouse = new FakeWarehouse(doomed.warehouse, async () => {
  process.send?.("heard");
  await new Promise(() => undefined);
});
const { database, leaseMs } = doomed;
const inventory = await Inventory.open({ database, warehouse, leaseMs });
await inventory.routing.dispatch(doomed.order);
