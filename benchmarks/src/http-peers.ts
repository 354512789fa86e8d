import { Idempotency } from "@node-idempotency/core";
import { MemoryStorageAdapter } from "@node-idempotency/storage-adapter-memory";
import express from "express";
import {
  getSharedIdempotencyService,
  type IdempotencyResource,
  idempotency,
} from "express-idempotency";
import createFastify, { type FastifyRequest } from "fastify";
import {
  type HttpApp,
  type HttpApps,
  listening,
  locationOf,
  ORDER,
  takeOrder,
} from "./http-app.ts";

/** Its own store is a list that is searched from its start, which would hide all other costs. */
function mapAdapter() {
  const resources = new Map<string, IdempotencyResource>();
  return {
    findByIdempotencyKey: async (key: string) => resources.get(key) ?? null,
    create: async (resource: IdempotencyResource) => {
      resources.set(resource.idempotencyKey, resource);
    },
    update: async (resource: IdempotencyResource) => {
      resources.set(resource.idempotencyKey, resource);
    },
    delete: async (key: string) => {
      resources.delete(key);
    },
  };
}

async function expressApp(isProtected: boolean): Promise<HttpApp> {
  const app = express();
  app.use(express.json());
  if (isProtected) app.use(idempotency({ dataAdapter: mapAdapter() }));
  app.get("/orders/1", (_request, response) => {
    response.json(ORDER);
  });
  app.post("/orders", (request, response) => {
    // The middleware goes on to the handler after it has answered.
    if (isProtected && getSharedIdempotencyService().isHit(request)) return;
    const order = takeOrder(request.body);
    response.status(201).location(locationOf(order)).json(order);
  });
  return await listening(app.listen(0, "127.0.0.1"));
}

/** Its plugin for Fastify does not install, so that its core is called where that would call it. */
async function fastifyWithCore(): Promise<HttpApp> {
  const app = createFastify();
  const core = new Idempotency(new MemoryStorageAdapter());
  const replayed = new WeakSet<FastifyRequest>();
  const paramsOf = ({ headers, method, url, body }: FastifyRequest) => ({
    ...{ headers, method, path: url, body: body as Record<string, unknown> },
  });
  app.get("/orders/1", async () => ORDER);
  const route = app.post("/orders", {
    preHandler: async (request, reply) => {
      const kept = await core.onRequest(paramsOf(request));
      if (kept === undefined) return undefined;
      replayed.add(request);
      const { status, location } = kept.additional as { status: number; location: string };
      const type = "application/json; charset=utf-8";
      return reply.code(status).headers({ location, "content-type": type }).send(kept.body);
    },
    onSend: async (request, reply, payload) => {
      if (replayed.has(request)) return payload;
      const additional = { status: reply.statusCode, location: reply.getHeader("location") };
      await core.onResponse(paramsOf(request), { body: payload, additional });
      return payload;
    },
    handler: async (request, reply) => {
      const order = takeOrder(request.body);
      reply.code(201).header("location", locationOf(order));
      return order;
    },
  });
  await route.listen({ port: 0, host: "127.0.0.1" });
  return await listening(app.server);
}

/** What others have published, and installs. */
export const peerApps: HttpApps = {
  "fastify node-idempotency": { base: "fastify bare", open: fastifyWithCore },
  "express bare": { base: "express bare", open: () => expressApp(false) },
  "express express-idempotency": { base: "express bare", open: () => expressApp(true) },
};
