import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import compress from "@fastify/compress";
import cookie from "@fastify/cookie";
import cors from "@fastify/cors";
import createError from "@fastify/error";
import etag from "@fastify/etag";
import sensible from "@fastify/sensible";
import type { Engine } from "@idemkit/engine";
import type * as Fastify from "@idemkit/fastify";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import createHttpError from "http-errors";
import { type App, type Binding, type Exchange, type Plan, SLOW_MS } from "./lab.ts";

/**
 * @param module the binding, or a broken one
 * @param make the framework, in the version to test
 */
export function fastifyBinding(module: typeof Fastify, make: typeof fastify = fastify): Binding {
  return {
    name: "Fastify",
    start: async (engine, plan) => await start(module, make, engine, plan),
  };
}

async function start(
  module: typeof Fastify,
  make: typeof fastify,
  engine: Engine,
  plan: Plan,
): Promise<App> {
  const reported: unknown[] = [];
  const app = make({ loggerInstance: loggerInto(reported) }) as unknown as FastifyInstance;
  const options = {
    engine,
    scope: scopeOf,
    ...plan.options,
  } as unknown as Fastify.FastifyIdempotencyOptions;
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("X-Request-Id", Math.random().toString(36));
    reply.header("X-Outside", Math.random().toString(36));
  });
  await surround(module, app, plan, options);
  app.addContentTypeParser("application/octet-stream", (_request, payload, done) => {
    done(null, payload);
  });
  app.addContentTypeParser(
    ["text/csv", "application/x-www-form-urlencoded", "multipart/form-data"],
    { parseAs: "string" },
    (_request, body, done) => done(null, body),
  );
  // Fastify 5.0 knows its own type in lower case only.
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser(/^application\/json/i, { parseAs: "string" }, parseJson);
  await app.register(module.idempotency, options);
  declareRoutes(module, app, engine, plan);
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    reported,
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

async function surround(
  module: typeof Fastify,
  app: FastifyInstance,
  plan: Plan,
  options: Fastify.FastifyIdempotencyOptions,
): Promise<void> {
  const around = plan.around ?? [];
  const { timeoutMs } = plan;
  if (timeoutMs !== undefined) {
    // Fastify's own handlerTimeout ends with a request's body on Node 20.
    const responding = new WeakSet<FastifyRequest>();
    app.addHook("onSend", async (request, _reply, payload) => {
      responding.add(request);
      return payload;
    });
    app.addHook("preHandler", async (request, reply) => {
      const timer = setTimeout(() => {
        if (responding.has(request)) return;
        const body = JSON.stringify({ error: "The handler takes too long." });
        void reply.code(503).type("application/json").send(body);
      }, timeoutMs);
      reply.raw.once("close", () => clearTimeout(timer));
    });
  }
  if (plan.formatsErrors !== undefined) {
    app.setErrorHandler((error: Readonly<Record<string, never>>, _request, reply) => {
      const { statusCode = 500, message, problem, headers = {} } = error;
      if (plan.formatsErrors === "as-success") return reply.code(200).send({ hidden: true });
      return reply
        .code(statusCode)
        .headers(headers)
        .send(problem ?? { formatted: true, message });
    });
  }
  layer(app, around);
  if (around.includes("sensible")) await app.register(sensible);
  if (around.includes("cors")) {
    const { allowHeaders, exposeHeaders } = module.corsHeaders(options);
    await app.register(cors, {
      allowedHeaders: allowHeaders,
      exposedHeaders: exposeHeaders,
    });
  }
  await app.register(cookie);
  if (around.includes("compress")) await app.register(compress, { threshold: 1 });
  if (around.includes("etag")) await app.register(etag);
}

/** Hooks as the plugins of an application have them. */
function layer(app: FastifyInstance, around: NonNullable<Plan["around"]>): void {
  if (around.includes("slow")) {
    app.addHook("onSend", async (_request, _reply, payload) => {
      await pause(SLOW_MS);
      return payload;
    });
  }
  if (around.includes("served-at")) {
    app.addHook("onSend", async (_request, reply, payload) => {
      reply.header("X-Served-At", String(process.hrtime.bigint()));
      return payload;
    });
  }
  if (around.includes("serializer")) {
    // As @fastify/accepts-serializer does.
    app.addHook("onRequest", async (_request, reply) => {
      reply.type("application/yaml");
      reply.serializer((payload: unknown) => `yaml:${JSON.stringify(payload)}`);
    });
  }
}

function declareRoutes(
  module: typeof Fastify,
  app: FastifyInstance,
  engine: Engine,
  plan: Plan,
): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) =>
    await plan.handler(exchangeOf(request, reply));
  app.get("/status/:key", module.idempotencyStatus({ engine, scope: scopeOf }));
  app.route({ method: ["GET", "POST", "PUT", "PATCH"], url: "/open", handler: answer });
  app.route({
    method: ["GET", "POST", "PUT", "PATCH"],
    url: "/callback/*",
    config: { idempotency: true },
    handler: (request, reply) => void plan.handler(exchangeOf(request, reply)),
  });
  app.route({
    method: ["GET", "POST", "PUT", "PATCH"],
    url: "/*",
    config: { idempotency: true },
    handler: answer,
    ...(plan.authenticates && {
      preHandler: async (request: FastifyRequest) => {
        if (request.headers.authorization === undefined)
          throw new (createError("UNAUTHENTICATED", "Who are you?", 401))();
      },
    }),
  });
}

function scopeOf(request: FastifyRequest): string {
  return String(request.headers["x-user"] ?? "");
}

function exchangeOf(request: FastifyRequest, reply: FastifyReply): Exchange {
  return {
    method: request.method,
    body: request.body,
    idempotency: request.idempotency,
    status: (code) => void reply.code(code),
    header: (name, value) => void reply.header(name, value),
    cookie: (name, value) => void reply.setCookie(name, value),
    redirect: (url) => reply.redirect(url),
    send: (body) => (body === null ? reply.send(null) : body),
    respond: (body) => void reply.send(body),
    fail: (status, message, members = {}) => {
      const Failure = createError("FAILED", message.replaceAll("%", "%%"), status);
      throw Object.assign(new Failure(), members);
    },
    failByPlugin: (status, message) => {
      throw request.server.httpErrors.createError(status, message);
    },
    decorate: (status, error) => {
      throw createHttpError(status, error);
    },
    hijack: () => reply.hijack().raw,
    unparsed: async () => {
      const { body } = request;
      return body instanceof Readable
        ? Buffer.concat(await body.toArray())
        : Buffer.from(`${body}`);
    },
  };
}

/** A logger of Fastify's kind that keeps the errors it is told of. */
function loggerInto(reported: unknown[]) {
  const quiet = () => undefined;
  const error = (details: unknown) => {
    reported.push((details as { readonly err?: unknown } | null)?.err ?? details);
  };
  const logger = {
    ...{
      level: "error",
      fatal: error,
      error,
      warn: quiet,
      info: quiet,
      debug: quiet,
      trace: quiet,
    },
    ...{ silent: quiet, child: () => logger },
  };
  return logger as never;
}
