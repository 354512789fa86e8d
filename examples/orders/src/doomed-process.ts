import { type OpenOptions, openShop, type Places } from "./open.ts";
import type { OrderRequest } from "./order.ts";

/** What a process is to do that will not live to see the end of it. */
export interface Doomed {
  readonly places: Places;
  readonly leaseMs: number;
  /** It tells of this effect and then does nothing any more, until it is killed from outside. */
  readonly diesAt: string;
  /** Without an order it publishes. */
  readonly order?: {
    readonly customer: string;
    readonly key: string;
    readonly request: OrderRequest;
  };
}

const { places, leaseMs, diesAt, order } = JSON.parse(process.argv[2] ?? "") as Doomed;

const watch: OpenOptions["watch"] = async (effect) => {
  process.send?.(effect);
  if (effect.startsWith(diesAt)) await new Promise(() => undefined);
};
const { orders, publisher } = await openShop(places, { leaseMs, watch });
if (order === undefined) await publisher.publish();
else await orders.placeOrder(order.customer, order.key, order.request);
process.send?.("the end");
