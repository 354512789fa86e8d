import { PassThrough, Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine, type Guarantee, memoryStore } from "@idemkit/engine";
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type preHandlerAsyncHookHandler,
} from "fastify";
import { expect, onTestFinished, test } from "vitest";
import { idempotency } from "../src/index.ts";

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

interface Served {
  readonly handler: Handler;
  /** Answers the first request in the handler's place, after so many milliseconds. */
  readonly late?: { readonly afterMs: number; readonly answer: (reply: FastifyReply) => unknown };
  readonly around?: (app: FastifyInstance) => void;
  /** What comes between the claim and the handler. */
  readonly behind?: (app: FastifyInstance) => void;
  readonly schema?: object;
  readonly guarantee?: Guarantee;
}

async function served(of: Served) {
  const { handler, late, around, behind, schema, guarantee = "at-most-once" } = of;
  const app = fastify() as unknown as FastifyInstance;
  let isFirst = true;
  app.addHook("onRequest", async (_request, reply) => {
    if (!isFirst || late === undefined) return;
    isFirst = false;
    setTimeout(() => late.answer(reply), late.afterMs);
  });
  around?.(app);
  const engine = createEngine({ store: memoryStore(), guarantee });
  await app.register(idempotency, { engine, scope: () => "ada" });
  behind?.(app);
  let runs = 0;
  app.post("/", { config: { idempotency: true }, ...(schema && { schema }) }, (request, reply) => {
    runs += 1;
    return handler(request, reply);
  });
  onTestFinished(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  const origin = await app.listen({ port: 0, host: "127.0.0.1" });
  const headers = { "idempotency-key": "k", "content-type": "application/json" };
  const post = async () => {
    const init = { method: "POST", headers, body: '{"a":1}', redirect: "manual" } as const;
    const response = await fetch(origin, init);
    const { status } = response;
    const isReplayed = response.headers.has("idempotency-replayed");
    const type = response.headers.get("content-type");
    return { status, isReplayed, type, text: await response.text() };
  };
  /** What duplicates get in the end. */
  const outcome = async () => {
    await expect.poll(async () => (await post()).text, { timeout: 5_000 }).not.toContain("in-prog");
    return await post();
  };
  return { post, outcome, runs: () => runs };
}

const slow = { afterMs: 60, answer: (reply: FastifyReply) => reply.code(503).send({ e: "slow" }) };
const notNow = { afterMs: 60, answer: (reply: FastifyReply) => reply.code(429).send({ e: "no" }) };
const JSON_TYPE = "application/json; charset=utf-8";

const onSendSlowly = (app: FastifyInstance) => {
  app.addHook("onSend", async (_request, _reply, payload) => {
    await pause(150);
    return payload;
  });
};
const failingSlowly = (app: FastifyInstance) => {
  app.setErrorHandler(async (_error, _request, reply) => {
    await pause(150);
    return reply.code(402).send({ m: "declined" });
  });
};
const afterwards = async (reply: FastifyReply) => {
  await pause(120);
  reply.code(201);
  return { a: 1, secret: 2 };
};
const onlyA = { type: "object", properties: { a: { type: "number" } } };

const outcomes: readonly (readonly [string, Served, string])[] = [
  [
    "an error, though its handler is slow and somebody else says that it is not now",
    { handler: async () => Promise.reject(new Error("x")), late: notNow, around: failingSlowly },
    '402 {"m":"declined"}',
  ],
  [
    "an error that it has sent, though its handler is slow",
    { handler: (_, reply) => reply.send(new Error("x")), late: slow, around: failingSlowly },
    '402 {"m":"declined"}',
  ],
  [
    "a value without a status, though somebody else's is on its way already",
    { handler: async () => pause(120, { a: 1 }), late: notNow, around: onSendSlowly },
    '200 {"a":1}',
  ],
  [
    "a value that is returned at once, though hooks are slow",
    { handler: () => ({ a: 1 }), late: slow, around: onSendSlowly },
    '200 {"a":1}',
  ],
  [
    "a text, though somebody else sends the same",
    {
      handler: async () => "ok",
      late: { afterMs: 60, answer: (reply) => reply.code(429).send("ok") },
      around: onSendSlowly,
    },
    "200 ok",
  ],
  [
    "a value, though somebody else writes to the raw response",
    {
      handler: (_, reply) => afterwards(reply),
      late: { afterMs: 60, answer: ({ raw }) => raw.writeHead(503).end("slow") },
    },
    '201 {"a":1,"secret":2}',
  ],
  [
    "what it sends after it has looked at its reply, though it is late",
    {
      handler: async (_, reply) => {
        void [reply.statusCode, reply.getHeader("x"), reply.raw.on("close", () => undefined)];
        setTimeout(() => reply.code(201).send({ a: 1 }), 120);
        return reply;
      },
      late: slow,
    },
    '201 {"a":1}',
  ],
  [
    "a late value, in the form that a schema for all such statuses gives it",
    {
      handler: (_, reply) => afterwards(reply),
      late: slow,
      schema: { response: { "2xx": onlyA } },
    },
    '201 {"a":1}',
  ],
  [
    "a late value, in the form that a schema for its media type gives it",
    {
      handler: (_, reply) => afterwards(reply),
      late: slow,
      schema: { response: { 201: { content: { "application/json": { schema: onlyA } } } } },
    },
    '201 {"a":1}',
  ],
  [
    "a late value, as hooks have changed it",
    {
      handler: (_, reply) => afterwards(reply),
      late: slow,
      around: (app) => {
        app.addHook("preSerialization", async (_request, _reply, { a }: never) => ({ data: a }));
      },
    },
    '201 {"data":1}',
  ],
  [
    "a late error, as the error handler answers it",
    {
      handler: async () => pause(120).then(() => Promise.reject(new Error("x"))),
      late: slow,
      around: failingSlowly,
    },
    '402 {"m":"declined"}',
  ],
  [
    "a stream that fails late, while somebody else has answered by an error",
    {
      handler: (_, reply) => {
        const stream = new PassThrough();
        setTimeout(() => stream.destroy(new Error("cut")), 120);
        return reply.type("text/plain").send(stream);
      },
      late: { afterMs: 60, answer: (reply) => reply.send(new Error("slow")) },
    },
    '500 {"statusCode":500,"error":"Internal Server Error","message":"cut"}',
  ],
];

for (const [name, app, expected] of outcomes) {
  test(`a Fastify handler's outcome is ${name}`, async () => {
    for (const guarantee of ["at-most-once", "at-least-once"] as const) {
      // An error gives the key back there, and the handler may run again.
      if (guarantee === "at-least-once" && /^(?:402|5)/.test(expected)) continue;
      const { post, outcome, runs } = await served({ ...app, guarantee });
      await post();
      const { status, text } = await outcome();
      expect([`${status} ${text}`, runs()]).toEqual([expected, 1]);
    }
  });
}

const asUsual: readonly (readonly [string, Served, string])[] = [
  [
    "an error handler sends and returns nothing",
    {
      handler: async () => Promise.reject(new Error("x")),
      around: (app) => {
        app.setErrorHandler(async (_error, _request, reply) => {
          reply.code(402).send({ m: "boom" });
        });
      },
    },
    '402 {"m":"boom"}',
  ],
  [
    "an error handler sends twice",
    {
      handler: () => {
        throw new Error("x");
      },
      around: (app) => {
        app.setErrorHandler((_error, _request, reply) => {
          reply.code(402).send({ m: "boom" });
          reply.code(500).send({ m: "again" });
        });
      },
    },
    '402 {"m":"boom"}',
  ],
  [
    "a stream comes with the header of its transfer",
    {
      handler: async (_, reply) => {
        reply.header("transfer-encoding", "chunked").type("text/plain");
        return Readable.from(["a", "b"]);
      },
    },
    "200 ab",
  ],
  [
    "a stream is one of the oldest kind",
    {
      handler: async (_, reply) => {
        reply.type("text/plain");
        const inner = Readable.from(["a", "b"]);
        return new Proxy(inner, {
          has: (of, name) => name !== Symbol.asyncIterator && Reflect.has(of, name),
          getPrototypeOf: () => Object.prototype,
          get: (of, name) => {
            const value: unknown = Reflect.get(of, name);
            return typeof value === "function" ? value.bind(of) : value;
          },
        });
      },
    },
    "200 ab",
  ],
  ["a handler returns what is no number", { handler: async () => Number.NaN }, "200 null"],
  [
    "a serializer throws",
    {
      handler: async (_, reply) => {
        reply.type("text/x").serializer(() => {
          throw new Error("unserializable");
        });
        return await reply.send("text");
      },
    },
    '500 {"statusCode":500,"error":"Internal Server Error","message":"unserializable"}',
  ],
  [
    "a hook has chosen the status of a redirection",
    {
      handler: (_, reply) => reply.redirect("/there"),
      around: (app) => {
        app.addHook("preHandler", async (_request, reply) => void reply.code(307));
      },
    },
    "307 ",
  ],
  [
    "another hook reads the body first",
    {
      handler: async (request) => request.body,
      around: (app) => {
        app.addHook("preParsing", (_request, _reply, payload, done) => {
          payload.on("data", () => undefined);
          done(null, payload);
        });
      },
    },
    '200 {"a":1}',
  ],
];

for (const [name, app, expected] of asUsual) {
  test(`a protected Fastify route answers as without protection where ${name}`, async () => {
    const { post, runs } = await served({ ...app });
    const { isReplayed, ...first } = await post();
    const again = await post();
    expect([isReplayed, `${first.status} ${first.text}`]).toEqual([false, expected]);
    expect([again, runs()]).toEqual([{ ...first, isReplayed: true }, 1]);
  });
}

test("a stream that another hook sends in the handler's place, and that fails, is answered", async () => {
  const { post, runs } = await served({
    handler: async () => ({ a: 1 }),
    behind: (app) => {
      app.addHook("onRoute", (route) => {
        const failing: preHandlerAsyncHookHandler = async (_request, reply) => {
          const stream = new PassThrough();
          setTimeout(() => stream.destroy(new Error("cut")), 20);
          return reply.type("text/plain").send(stream);
        };
        route.preHandler = [route.preHandler ?? [], failing].flat();
      });
    },
  });
  expect(await post()).toMatchObject({ status: 500, text: expect.stringContaining("cut") });
  expect(runs()).toBe(0);
});

test("nobody's answer to a request whose key is still being claimed is the outcome", async () => {
  const { post, outcome, runs } = await served({
    handler: async () => ({ a: 1 }),
    around: (app) => {
      onSendSlowly(app);
      let isFirst = true;
      app.addHook("preHandler", (_request, reply, done) => {
        if (isFirst) reply.code(429).send({ e: "no" });
        isFirst = false;
        done();
      });
    },
  });
  expect((await post()).status).toBe(429);
  expect(await outcome()).toMatchObject({ status: 200, type: JSON_TYPE, text: '{"a":1}' });
  expect(runs()).toBe(1);
});
