import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, type Engine, memoryStore } from "@idemkit/engine";
import { idempotency as fastifyIdempotency } from "@idemkit/fastify";
import { idempotency as koaIdempotency } from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { bodyParser } from "@koa/bodyparser";
import createFastify from "fastify";
import Koa from "koa";
import {
  type HttpApp,
  type HttpApps,
  listening,
  locationOf,
  ORDER,
  takeOrder,
} from "./http-app.ts";
import { peerApps } from "./http-peers.ts";

const scope = () => ["bench", "tenant-1"];

interface Opened {
  readonly engine: Engine;
  readonly close: () => void;
}

function onMemory(): Opened {
  return { engine: createEngine({ store: memoryStore() }), close: () => undefined };
}

async function onSqlite(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-bench-"));
  const db = openSqlite(join(folder, "records.db"));
  await migrate(db);
  const close = () => {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { engine: createEngine({ store: sqliteStore(db) }), close };
}

async function koaApp(opened?: Opened): Promise<HttpApp> {
  const app = new Koa();
  app.use(bodyParser());
  if (opened !== undefined) app.use(koaIdempotency({ engine: opened.engine, scope }));
  app.use((ctx) => {
    if (ctx.method === "GET") {
      ctx.body = ORDER;
      return;
    }
    const order = takeOrder(ctx.request.body);
    ctx.status = 201;
    ctx.set("Location", locationOf(order));
    ctx.body = order;
  });
  return closing(await listening(app.listen(0, "127.0.0.1")), opened);
}

async function fastifyApp(opened?: Opened): Promise<HttpApp> {
  const app = createFastify();
  const isProtected = opened !== undefined;
  if (isProtected) {
    await app.register(fastifyIdempotency, { engine: opened.engine, scope });
  }
  app.get("/orders/1", async () => ORDER);
  app.post("/orders", { config: { idempotency: isProtected } }, async (request, reply) => {
    const order = takeOrder(request.body);
    reply.code(201).header("location", locationOf(order));
    return order;
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  return closing(await listening(app.server), opened);
}

function closing(app: HttpApp, opened: Opened | undefined): HttpApp {
  return {
    port: app.port,
    close: async () => {
      await app.close();
      opened?.close();
    },
  };
}

/** Every server that can be measured. */
export const httpApps: HttpApps = {
  "koa bare": { base: "koa bare", open: () => koaApp() },
  "koa memory": { base: "koa bare", open: () => koaApp(onMemory()) },
  "koa sqlite": { base: "koa bare", open: async () => koaApp(await onSqlite()) },
  "fastify bare": { base: "fastify bare", open: () => fastifyApp() },
  "fastify memory": { base: "fastify bare", open: () => fastifyApp(onMemory()) },
  "fastify sqlite": { base: "fastify bare", open: async () => fastifyApp(await onSqlite()) },
  ...peerApps,
};
