import type { Engine } from "@idemkit/engine";
import { idempotency, idempotencyStatus } from "@idemkit/koa";
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import Koa, { type Context } from "koa";
import { authenticate, formatErrors, type State, translateErrors } from "./around.ts";
import type { Orders } from "./orders.ts";
import { orderIn, quantityIn } from "./requests.ts";

/** The order API, from the outside to the inside: errors, authentication, body, validation, key. */
export function createApp(engine: Engine, orders: Orders): Koa<State> {
  // One scope for all routes: a key that is used for another route is refused, and one status
  // endpoint knows all keys of a customer.
  const scope = (ctx: Context) => [ctx.state.customer as string, "orders"];
  const protect = idempotency({ engine, scope });
  const router = new Router<State>();
  router.get("/orders", (ctx) => {
    ctx.body = orders.allOf(ctx.state.customer);
  });
  router.get("/orders/:id", (ctx) => {
    ctx.body = orders.find(ctx.state.customer, Number(ctx.params.id)) ?? ctx.throw(404);
  });
  router.post("/orders", validated(orderIn), protect, translateErrors, (ctx) => {
    const operation = ctx.state.idempotency?.deriveKey("order") ?? ctx.throw(500);
    const order = orders.place(ctx.state.customer, orderIn(ctx), operation);
    ctx.body = order;
    ctx.status = 201;
    ctx.set("Location", `/orders/${order.id}`);
  });
  router.patch("/orders/:id", validated(quantityIn), protect, translateErrors, (ctx) => {
    const id = Number(ctx.params.id);
    ctx.body = orders.change(ctx.state.customer, id, quantityIn(ctx)) ?? ctx.throw(404);
  });
  router.get("/keys/:key", idempotencyStatus({ engine, scope }));
  const app = new Koa<State>();
  app.use(formatErrors).use(authenticate).use(bodyParser());
  app.use(router.routes()).use(router.allowedMethods());
  return app;
}

/** Refuses what cannot be understood before its key is claimed: mended, it may use the same key. */
function validated(read: (ctx: Context) => unknown) {
  return async (ctx: Context, next: Koa.Next): Promise<void> => {
    read(ctx);
    await next();
  };
}
