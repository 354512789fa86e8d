import type { Context } from "koa";
import type { Order } from "./orders.ts";

const QUANTITY_MAX = 1_000;

/** @throws what is answered by 400 */
export function orderIn(ctx: Context): Omit<Order, "id"> {
  const { sku } = membersOf(ctx);
  if (typeof sku !== "string" || sku === "") ctx.throw(400, "Expected `sku`, a text.");
  return { sku: sku as string, quantity: quantityIn(ctx) };
}

/** @throws what is answered by 400 */
export function quantityIn(ctx: Context): number {
  const { quantity } = membersOf(ctx);
  const isWithin = Number.isInteger(quantity) && Number(quantity) >= 1;
  if (!isWithin || Number(quantity) > QUANTITY_MAX) {
    ctx.throw(400, `Expected \`quantity\`, a whole number from 1 to ${QUANTITY_MAX}.`);
  }
  return quantity as number;
}

function membersOf(ctx: Context): Readonly<Record<string, unknown>> {
  const body: unknown = ctx.request.body;
  return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
}
