import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that takes orders: `POST /orders`, and `GET /orders/1`, which nothing protects. */
export interface HttpApp {
  readonly port: number;
  readonly close: () => Promise<void> | void;
}

/** Servers by name. Those with the same `base` are measured against that one. */
export type HttpApps = Readonly<
  Record<string, { readonly base: string; readonly open: () => Promise<HttpApp> }>
>;

export const ORDER = {
  orderId: "o-1",
  status: "accepted",
  lines: [
    { sku: "teapot-blue", quantity: 2, priceCents: 2400 },
    { sku: "kettle-1.7l", quantity: 1, priceCents: 5900 },
  ],
  totalCents: 10_700,
};

let taken = 0;

/** Each call is told from the others by its answer, so that a client sees whether a handler ran. */
export function takeOrder(body: unknown): typeof ORDER {
  const { customer } = body as { readonly customer?: unknown };
  if (typeof customer !== "string") throw new Error("The order was not parsed.");
  taken += 1;
  return { ...ORDER, orderId: `o-${taken}` };
}

export const locationOf = ({ orderId }: typeof ORDER) => `/orders/${orderId}`;

export async function listening(server: Server): Promise<HttpApp> {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  // Sockets wait for their turn while other servers are measured.
  server.keepAliveTimeout = 0;
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
