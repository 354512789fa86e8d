import { AsyncResource } from "node:async_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine, memoryStore } from "@idemkit/engine";
import { type IdempotentState, idempotency, ResponseError } from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import express from "express";
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

/** Runs a function outside of the asynchronous context of its caller, as an old library would. */
const outside = AsyncResource.bind(async (act: () => void) => act());

test("a replay has the cookie of outer middleware for its own request, and the handler's", async () => {
  const app = new Koa<IdempotentState>();
  let requests = 0;
  app.use(async (ctx, next) => {
    requests += 1;
    ctx.cookies.set("session", String(requests));
    await next();
  });
  const engine = createEngine({ store: memoryStore() });
  app.use(idempotency({ engine, scope: () => "ada", cookies: true }));
  app.use((ctx) => {
    ctx.cookies.set("own", "1");
    ctx.body = { done: true };
  });
  const origin = await listening(app.callback());
  for (const request of [1, 2]) {
    const { headers } = await send(origin, { key: "k" });
    const cookies = headers["set-cookie"]?.map((cookie) => cookie.split(";")[0]);
    expect(cookies).toEqual([`session=${request}`, "own=1"]);
  }
});

test("a handler may remove the cookie of outer middleware", async () => {
  const app = new Koa<IdempotentState>();
  app.use(async (ctx, next) => {
    ctx.cookies.set("session", "1");
    await next();
  });
  app.use(idempotency({ engine: createEngine({ store: memoryStore() }), scope: () => "ada" }));
  app.use((ctx) => {
    ctx.remove("Set-Cookie");
    ctx.body = { done: true };
  });
  const origin = await listening(app.callback());
  expect((await send(origin, { key: "k" })).headers["set-cookie"]).toBeUndefined();
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

test("a handler that loses its context after it has set a header leaves a stub", async () => {
  let runs = 0;
  const origin = await protectedBy(async (ctx) => {
    runs += 1;
    ctx.set("X-Own", "1");
    ctx.status = 201;
    await outside(() => {
      ctx.body = { paid: true };
    });
  });
  expect(await send(origin, { key: "k" })).toMatchObject({ json: { paid: true } });
  expect((await send(origin, { key: "k" })).json).toMatchObject({ code: "response-not-stored" });
  expect(runs).toBe(1);
});

test("a handler that destroys the response it has taken ends the request", async () => {
  const origin = await protectedBy((ctx) => {
    ctx.respond = false;
    setImmediate(() => ctx.res.destroy());
  });
  await expect(send(origin, { key: "k" })).rejects.toThrow("socket hang up");
  await until(async () => (await send(origin, { key: "k" })).text.includes("response-not-stored"));
});

test("an Express application inside of a handler responds, and a stub is kept", async () => {
  const inner = express();
  inner.post("/orders", (_request, response) => {
    response.status(201).json({ order: 1 });
  });
  const origin = await protectedBy((ctx) => {
    ctx.respond = false;
    inner(ctx.req, ctx.res);
  });
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 201, json: { order: 1 } });
  await until(async () => (await send(origin, { key: "k" })).text.includes("response-not-stored"));
});

test("a response that was committed is sent, though its handler has taken the response and fails", async () => {
  const db = openSqlite(":memory:");
  await migrate(db);
  const engine = createEngine({ store: sqliteStore(db) });
  const app = new Koa<IdempotentState>();
  app.silent = true;
  app.use(idempotency({ engine, scope: () => "ada" }));
  app.use(async (ctx) => {
    ctx.respond = false;
    await ctx.state.idempotency?.transaction(() => ({ status: 201, body: { order: 1 } }));
    throw new Error("after the commit");
  });
  const origin = await listening(app.callback());
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 201, json: { order: 1 } });
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 201, isReplayed: true });
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
