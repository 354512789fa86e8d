import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import createError from "@fastify/error";
import { createEngine, memoryStore } from "@idemkit/engine";
import { idempotency } from "@idemkit/fastify";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import fastify, { type FastifyInstance, type FastifyReply, type RouteHandlerMethod } from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { send } from "../src/index.ts";
import { until } from "../src/rows/row.ts";

async function serving(app: FastifyInstance): Promise<string> {
  onTestFinished(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  return await app.listen({ port: 0, host: "127.0.0.1" });
}

const options = () => ({ engine: createEngine({ store: memoryStore() }), scope: () => "ada" });

test("the late outcome of a request is kept that Fastify's handlerTimeout has answered", async () => {
  const app = fastify({ handlerTimeout: 100 }) as unknown as FastifyInstance;
  await app.register(idempotency, options());
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, async (_request, reply) => {
    runs += 1;
    await pause(400);
    reply.code(201);
    return { run: runs };
  });
  const origin = await serving(app);
  expect((await send(origin, { key: "k", body: null })).status).toBe(503);
  await until(async () => (await send(origin, { key: "k", body: null })).status !== 409);
  const late = await send(origin, { key: "k", body: null });
  expect(late).toMatchObject({ status: 201, json: { run: 1 }, isReplayed: true });
  expect(runs).toBe(1);
});

test("a route that was declared before the plugin refuses its requests", async () => {
  const app = fastify() as unknown as FastifyInstance;
  app.post("/early", { config: { idempotency: true } }, async () => "early");
  await app.register(idempotency, options());
  const origin = await serving(app);
  const answer = await send(origin, { key: "k", path: "/early" });
  expect(answer.status).toBe(500);
  expect(answer.text).toContain("declared before the plugin was loaded");
});

test("the plugin is not registered where it already is", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  const again = Promise.resolve(app.register(idempotency, options()));
  await expect(again).rejects.toThrow("registered already");
});

test("a handler that never responds leaves its key open once maxRunMs is over", async () => {
  const app = fastify() as unknown as FastifyInstance;
  const engine = createEngine({ store: memoryStore(), leaseMs: 200, maxRunMs: 400 });
  await app.register(idempotency, { engine, scope: () => "ada" });
  const replies = new Map<unknown, FastifyReply>();
  app.addHook("onRequest", async (request, reply) => void replies.set(request, reply));
  app.post("/orders", { config: { idempotency: true } }, (request) => {
    setImmediate(() => replies.get(request)?.code(503).send({ title: "slow" }));
  });
  const origin = await serving(app);
  const answer = async () => await send(origin, { key: "k", body: null });
  expect((await answer()).json).toEqual({ title: "slow" });
  expect((await answer()).json).toMatchObject({ code: "in-progress" });
  await until(async () => (await answer()).text.includes("outcome-unknown"));
});

test("an error whose headers Node refuses is a 500, and ends its key", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, async () => {
    runs += 1;
    const headers = { "x-reason": "no\nstock" };
    throw Object.assign(new Error("failed"), { statusCode: 402, headers });
  });
  const origin = await serving(app);
  const first = await send(origin, { key: "k" });
  expect(first.status).toBe(500);
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 500, isReplayed: true });
  expect(runs).toBe(1);
});

test("an error handler whose stream breaks is a 500, and ends its key", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  app.setErrorHandler((_error, _request, reply) => {
    const broken = new Readable({
      read() {
        this.destroy(new Error("the disk is gone"));
      },
    });
    return reply.code(402).send(broken);
  });
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, async () => {
    runs += 1;
    throw new Error("failed");
  });
  const origin = await serving(app);
  expect((await send(origin, { key: "k" })).status).toBe(500);
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 500, isReplayed: true });
  expect(runs).toBe(1);
});

/** An application with one protected route, and how often its handler has run. */
async function protectedRoute(handler: RouteHandlerMethod) {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, function (request, reply) {
    runs += 1;
    return handler.call(this, request, reply);
  });
  const origin = await serving(app);
  return { post: async () => await send(origin, { key: "k" }), runs: () => runs };
}

test("a retry does not run beside the rest of a handler that has sent its error", async () => {
  let isRunning = false;
  let isBeside = false;
  const { post, runs } = await protectedRoute(async (_request, reply) => {
    isBeside ||= isRunning;
    isRunning = true;
    reply.send(createError("FST_TEST_BUSY", "busy", 429)());
    await pause(200);
    isRunning = false;
    return reply;
  });
  const first = post();
  await until(() => runs() === 1);
  await until(async () => (await post()).status === 429);
  expect((await first).status).toBe(429);
  expect([isBeside, runs()]).toEqual([false, 2]);
});

test("a serializer that throws in a callback is a 500, and ends its key", async () => {
  const { post, runs } = await protectedRoute((_request, reply) => {
    setImmediate(() => {
      const broken = () => {
        throw new Error("not serializable");
      };
      reply.serializer(broken).send({ order: 1 });
    });
  });
  expect((await post()).status).toBe(500);
  expect(await post()).toMatchObject({ status: 500, isReplayed: true });
  expect(runs()).toBe(1);
});

test("a response that a callback takes from Fastify after its handler has returned ends its key", async () => {
  const { post, runs } = await protectedRoute((_request, reply) => {
    setImmediate(() => {
      reply.hijack();
      reply.raw.writeHead(201).end("written");
    });
  });
  expect(await post()).toMatchObject({ status: 201, text: "written" });
  await until(async () => (await post()).text.includes("response-not-stored"));
  expect(runs()).toBe(1);
});

test("a header that a handler sets on the raw response is part of the outcome", async () => {
  const { post } = await protectedRoute(async (_request, reply) => {
    reply.raw.setHeader("X-Own", "raw");
    return { order: 1 };
  });
  expect((await post()).headers["x-own"]).toBe("raw");
  const again = await post();
  expect([again.isReplayed, again.headers["x-own"]]).toEqual([true, "raw"]);
});

test("a thrown proxy that throws itself is a 500, and ends its key", async () => {
  const broken = () => {
    throw new Error("from the proxy");
  };
  const traps = { get: broken, has: broken, getPrototypeOf: broken, ownKeys: broken };
  const { post, runs } = await protectedRoute(async () => {
    throw new Proxy(new Error("failed"), traps);
  });
  expect((await post()).status).toBe(500);
  expect(await post()).toMatchObject({ status: 500, isReplayed: true });
  expect(runs()).toBe(1);
});

test("a transaction that a handler commits after its own 503 is the outcome", async () => {
  const db = openSqlite(":memory:");
  await migrate(db);
  const app = fastify() as unknown as FastifyInstance;
  const engine = createEngine({ store: sqliteStore(db) });
  await app.register(idempotency, { engine, scope: () => "ada", on5xx: "release" });
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, async (request, reply) => {
    runs += 1;
    reply.code(503).send({ busy: true });
    await request.idempotency?.transaction(() => ({ status: 201, body: { order: 1 } }));
    return reply;
  });
  const origin = await serving(app);
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 201, json: { order: 1 } });
  expect(await send(origin, { key: "k" })).toMatchObject({ status: 201, isReplayed: true });
  expect(runs).toBe(1);
});
