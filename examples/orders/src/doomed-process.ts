import { createEngine } from "@idemkit/engine";
import { openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { euros, OrderService } from "./order-service.ts";
import { PaymentProvider } from "./payment-provider.ts";
import type { DoomedOrder } from "./shop.ts";

// Places one order, and is killed from outside when the money is booked but not yet acknowledged.
const { files, guarantee, customer, key, request } = JSON.parse(
  process.argv[2] ?? "",
) as DoomedOrder;
const tell = (effect: string) => process.send?.(effect);

const db = openSqlite(files.shop);
const provider = new PaymentProvider(files.ledger, async () => {
  tell(`charge ${euros(provider.ledger.at(-1)?.amountCents ?? 0)}`);
  await new Promise(() => undefined);
});
const engine = createEngine({ store: sqliteStore(db), guarantee });
await new OrderService(engine, db, provider, tell).placeOrder(customer, key, request);
