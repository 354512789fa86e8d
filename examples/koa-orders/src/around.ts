import type { IdempotentState } from "@idemkit/koa";
import type { Context, Next } from "koa";
import { OutOfStockError } from "./orders.ts";

/** What the middlewares of this app share. */
export interface State extends IdempotentState {
  customer: string;
}

/** Stands for whatever knows who a token belongs to. */
const CUSTOMERS: ReadonlyMap<string, string> = new Map([
  ["ann-token", "ann"],
  ["bob-token", "bob"],
]);

/**
 * Answers every error as a problem of RFC 9457. It is outside of all others, so that a failure
 * that is replayed looks as it did the first time.
 */
export async function formatErrors(ctx: Context, next: Next): Promise<void> {
  try {
    await next();
  } catch (error) {
    const { status = 500, message } = error as { readonly status?: number; message: string };
    if (status >= 500) ctx.app.emit("error", error, ctx);
    ctx.status = status;
    ctx.body = { title: status < 500 ? message : "Something went wrong.", status };
    ctx.type = "application/problem+json";
  }
}

/** Callers who are not known learn nothing of keys, and claim none. */
export async function authenticate(ctx: Context, next: Next): Promise<void> {
  const [scheme, token = ""] = ctx.get("authorization").split(" ");
  const customer = scheme === "Bearer" ? CUSTOMERS.get(token) : undefined;
  if (customer === undefined) {
    ctx.set("WWW-Authenticate", "Bearer");
    ctx.throw(401, "Expected a token that is known.");
  }
  ctx.state.customer = customer;
  await next();
}

/**
 * Responds to the errors of the orders. A response is recorded and replayed; an error would give the key back
 * under at-least-once.
 */
export async function translateErrors(ctx: Context, next: Next): Promise<void> {
  try {
    await next();
  } catch (error) {
    if (!(error instanceof OutOfStockError)) throw error;
    ctx.status = 409;
    ctx.body = { title: error.message, status: 409 };
  }
}
