import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import createError from "@fastify/error";
import { createEngine, memoryStore } from "@idemkit/engine";
import { idempotency } from "@idemkit/fastify";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteHandlerMethod,
} from "fastify";
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

type ErrorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown;

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

test("a handler may return what it writes to: its response is taken, and not the payload", async () => {
  const ways = {
    end: async (_request, reply) => reply.raw.end("raw"),
    pipe: async (_request, reply) => Readable.from(["r", "aw"]).pipe(reply.raw),
    "another value": async (_request, reply) => {
      reply.raw.end("raw");
      return { not: "sent" };
    },
    "a hijacked reply that is sent": async (_request, reply) => {
      reply.hijack();
      reply.raw.end("raw");
      reply.send({ not: "sent" });
    },
  } satisfies Readonly<Record<string, RouteHandlerMethod>>;
  for (const [way, handler] of Object.entries(ways)) {
    const { post, runs } = await protectedRoute(handler);
    expect([way, (await post()).text]).toEqual([way, "raw"]);
    await until(async () => (await post()).text.includes("response-not-stored"));
    expect([way, runs()]).toEqual([way, 1]);
  }
});

test("a status that a handler sets on the raw response is its own", async () => {
  const { post, runs } = await protectedRoute(async (_request, reply) => {
    reply.raw.statusCode = 402;
    return { order: 1 };
  });
  expect((await post()).status).toBe(402);
  expect(await post()).toMatchObject({ status: 402, isReplayed: true });
  expect(runs()).toBe(1);
});

test("a stream that fails before anything reads it is a 500, and ends its key", async () => {
  const { post, runs } = await protectedRoute((_request, reply) => {
    setImmediate(() => {
      const stream = new Readable({ read: () => undefined });
      reply.send(stream);
      stream.destroy(new Error("the disk is gone"));
    });
  });
  expect((await post()).status).toBe(500);
  expect(await post()).toMatchObject({ status: 500, isReplayed: true });
  expect(runs()).toBe(1);
});

test("a handler that waits for its reply goes on once its stream was read", async () => {
  let hasEnded = false;
  const source = new Readable({
    read() {
      setTimeout(() => {
        hasEnded = true;
        this.push("done");
        this.push(null);
      }, 50);
    },
  });
  let hadEnded: boolean | undefined;
  const { post } = await protectedRoute(async (_request, reply) => {
    await reply.send(source);
    hadEnded = hasEnded;
  });
  expect((await post()).text).toBe("done");
  expect(hadEnded).toBe(true);
});

test("a library that writes Node's implicit head sends the handler's own", async () => {
  const { post } = await protectedRoute((_request, reply) => {
    const raw = reply.raw as ServerResponse & { _header: unknown; _implicitHeader(): void };
    raw.statusCode = 202;
    raw.write("im");
    if (!raw._header) raw._implicitHeader();
    raw.end("plicit");
  });
  expect(await post()).toMatchObject({ status: 202, text: "implicit" });
});

test("a cookie of the handler is sent beside that of a hook", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  app.addHook("onRequest", async (_request, reply) => void reply.header("set-cookie", "hook=1"));
  app.post("/orders", { config: { idempotency: true } }, async (_request, reply) => {
    reply.header("set-cookie", "own=1");
    return { done: true };
  });
  const origin = await serving(app);
  expect((await send(origin, { key: "k" })).headers["set-cookie"]).toEqual(["hook=1", "own=1"]);
});

test("a handler may remove the cookie of a hook", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(idempotency, options());
  app.addHook("onRequest", async (_request, reply) => void reply.header("set-cookie", "hook=1"));
  app.post("/orders", { config: { idempotency: true } }, async (_request, reply) => {
    reply.removeHeader("set-cookie");
    return { done: true };
  });
  const origin = await serving(app);
  expect((await send(origin, { key: "k" })).headers["set-cookie"]).toBeUndefined();
});

test("both cookies of a web response are sent", async () => {
  const { post } = await protectedRoute(async () => {
    const response = new Response("x");
    response.headers.append("set-cookie", "a=1");
    response.headers.append("set-cookie", "b=2");
    return response;
  });
  expect((await post()).headers["set-cookie"]).toEqual(["a=1", "b=2"]);
});

test("a web response with an impossible status is a 500, for its duplicates too", async () => {
  const { post } = await protectedRoute(async () => Response.error());
  expect((await post()).status).toBe(500);
  expect(await post()).toMatchObject({ status: 500, isReplayed: true });
});

/** An application with an error handler, whose protected handler fails. */
async function failing(errorHandler: ErrorHandler, thrown: unknown = new Error("failed")) {
  const app = fastify() as unknown as FastifyInstance;
  let asked = 0;
  app.setErrorHandler((...given: Parameters<ErrorHandler>) => {
    asked += 1;
    return errorHandler(...given);
  });
  await app.register(idempotency, options());
  let runs = 0;
  app.post("/orders", { config: { idempotency: true } }, async () => {
    runs += 1;
    throw thrown;
  });
  const origin = await serving(app);
  const post = async () => await send(origin, { key: "k" });
  return { post, asked: () => asked, runs: () => runs };
}

test("an error handler that sends the error on keeps its status and headers", async () => {
  const { post } = await failing((error, _request, reply) => {
    reply.status(409).header("X-Reason", "shipped").send(error);
  });
  for (const isReplayed of [false, true]) {
    const received = await post();
    expect(received).toMatchObject({ status: 409, isReplayed, json: { error: "Conflict" } });
    expect(received.headers["x-reason"]).toBe("shipped");
  }
});

test("an error handler that writes by itself sends its own status, and a stub is kept", async () => {
  const { post } = await failing((_error, _request, reply) => {
    reply.raw.statusCode = 418;
    reply.raw.end("teapot");
  });
  expect(await post()).toMatchObject({ status: 418, text: "teapot" });
  const again = await post();
  expect(again.json).toMatchObject({ code: "response-not-stored", originalStatus: 418 });
});

test("the status of an error, and not that of its error handler, says whether nothing was done", async () => {
  const { post, runs } = await failing((_error, _request, reply) => {
    reply.code(401).send({ formatted: true });
  }, createError("FST_TEST_LATE", "late", 500)());
  expect((await post()).status).toBe(401);
  expect(await post()).toMatchObject({ status: 401, isReplayed: true });
  expect(runs()).toBe(1);
});

test("an error handler is asked once for a thrown NaN", async () => {
  const { post, asked } = await failing((_error, _request, reply) => {
    reply.code(500).send({ formatted: true });
  }, Number.NaN);
  expect(await post()).toMatchObject({ status: 500, json: { formatted: true } });
  expect(await post()).toMatchObject({ status: 500, json: { formatted: true }, isReplayed: true });
  expect(asked()).toBe(1);
});

test("a hook that throws no Error is refused as on a route without protection", async () => {
  for (const thrown of ["denied", { statusCode: 403, message: "forbidden" }]) {
    const statuses: number[] = [];
    for (const isProtected of [true, false]) {
      const app = fastify() as unknown as FastifyInstance;
      await app.register(idempotency, options());
      app.addHook("preHandler", async () => {
        throw thrown;
      });
      app.post("/orders", { config: { idempotency: isProtected } }, async () => ({ done: true }));
      statuses.push((await send(await serving(app), { key: "k" })).status);
    }
    expect(statuses[0]).toBe(statuses[1]);
    expect(statuses[0]).toBeGreaterThanOrEqual(400);
  }
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
