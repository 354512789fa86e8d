import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine, memoryStore } from "@idemkit/engine";
import { idempotency } from "@idemkit/fastify";
import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
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
