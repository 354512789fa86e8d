import { setTimeout as pause } from "node:timers/promises";
import { createEngine, memoryStore } from "@idemkit/engine";
import { type IdempotentState, idempotency, ResponseError } from "@idemkit/koa";
import Koa from "koa";
import onHeaders from "on-headers";
import { expect, test } from "vitest";
import { send } from "../src/index.ts";
import { until } from "../src/rows/row.ts";
import { listening } from "./listening.ts";

test("a request that is protected twice is a mistake, and does not use its key up", async () => {
  const engine = createEngine({ store: memoryStore() });
  const protect = () => idempotency({ engine, scope: () => "ada" });
  const app = new Koa<IdempotentState>();
  const reported: unknown[] = [];
  app.on("error", (error: unknown) => reported.push(error));
  app.use(protect()).use(protect());
  app.use((ctx) => {
    ctx.body = { done: true };
  });
  const origin = await listening(app.callback());
  expect((await send(origin, { key: "k" })).status).toBe(500);
  expect(String(reported[0])).toContain("mount idempotency() once");
  expect(await engine.inspect("ada", "k")).toMatchObject({ state: "released" });
});

test("onError of the engine gets the ResponseError that the binding exports", async () => {
  const errors: unknown[] = [];
  const onError = (error: unknown) => {
    errors.push(error);
    return "record" as const;
  };
  const app = new Koa<IdempotentState>();
  app.use(
    idempotency({ engine: createEngine({ store: memoryStore(), onError }), scope: () => "ada" }),
  );
  app.use((ctx) => {
    ctx.status = 503;
    ctx.body = { busy: true };
  });
  await send(await listening(app.callback()), { key: "k" });
  expect(errors[0]).toBeInstanceOf(ResponseError);
  expect(errors[0]).toMatchObject({ status: 503 });
});

/** Serves an application whose protected handler is given. */
async function protectedBy(
  handler: Koa.Middleware<IdempotentState>,
  timeout?: Koa.Middleware,
): Promise<string> {
  const app = new Koa<IdempotentState>({ keys: [] });
  app.silent = true;
  if (timeout !== undefined) app.use(timeout);
  app.use(idempotency({ engine: createEngine({ store: memoryStore() }), scope: () => "ada" }));
  return await listening(app.use(handler).callback());
}

test("an application whose list of keys is empty is served, as it uses no cookies", async () => {
  const origin = await protectedBy((ctx) => {
    ctx.body = { done: true };
  });
  const first = await send(origin, { key: "k" });
  expect(first).toMatchObject({ status: 200, json: { done: true } });
});

test("a listener for the headers may set the status, for the first response and replays", async () => {
  const origin = await protectedBy((ctx) => {
    onHeaders(ctx.res, function () {
      this.statusCode = this.statusCode === 201 ? 202 : 500;
    });
    ctx.status = 201;
    ctx.body = { done: true };
  });
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 202, json: { done: true } });
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 202, isReplayed: true });
});

test("a handler's response is finished once it is sent, and not when a timeout's is", async () => {
  const events: string[] = [];
  const handler: Koa.Middleware<IdempotentState> = async (ctx) => {
    ctx.res.once("finish", () => events.push("finish")).once("close", () => events.push("close"));
    if (ctx.path === "/slow") await pause(200);
    ctx.body = { done: true };
  };
  const origin = await protectedBy(handler, async (ctx, next) => {
    const late = ctx.path === "/slow" ? [pause(50, "late")] : [];
    if ((await Promise.race([next(), ...late])) === "late") ctx.status = 503;
  });
  await send(origin, { key: "k", path: "/fast" });
  await until(() => events.includes("close"));
  expect(events.splice(0)).toEqual(["finish", "close"]);
  expect((await send(origin, { key: "slow", path: "/slow" })).status).toBe(503);
  await until(async () => (await send(origin, { key: "slow", path: "/slow" })).status === 200);
  expect(events).toEqual(["close"]);
});
