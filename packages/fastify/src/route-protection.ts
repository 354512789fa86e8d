import { setImmediate as nextTurn } from "node:timers/promises";
import { headersSince, type OutgoingHeaders, type Protection } from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RequestPayload,
  RouteHandlerMethod,
} from "fastify";
import { type Exchange, headOf, type ReplayExchange, type RunExchange } from "./exchange.ts";
import { endLate } from "./late.ts";
import { payloadOf, seenPayload } from "./payload.ts";
import { RequestBodies } from "./request-body.ts";

/** The hooks of a protected route, and its handler, in the order in which Fastify calls them. */
export class RouteProtection {
  readonly #protection: Protection<FastifyRequest>;
  readonly #handler: RouteHandlerMethod;
  readonly #bodies = new RequestBodies();
  readonly #exchanges = new WeakMap<FastifyRequest, Exchange>();

  constructor(protection: Protection<FastifyRequest>, handler: RouteHandlerMethod) {
    this.#protection = protection;
    this.#handler = handler;
  }

  readonly preParsing = async (
    request: FastifyRequest,
    _reply: FastifyReply,
    payload: RequestPayload,
  ): Promise<RequestPayload> => {
    if (!this.#protection.isFor(request.method) || isMultipart(request)) return payload;
    return await this.#bodies.keep(request, payload);
  };

  readonly claim = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    if (!this.#protection.isFor(request.method)) return undefined;
    const entry = await this.#protection.enter(request, {
      method: request.method,
      url: request.originalUrl,
      rawHeaders: request.raw.rawHeaders,
      contentType: request.headers["content-type"],
      readBody: async () => this.#bodies.of(request),
      report: (error) => request.log.error({ err: error }, "idempotency"),
    });
    const { headers: before } = headOf(reply);
    switch (entry.as) {
      case "pass":
        return undefined;
      case "answer":
        return reply
          .code(entry.answer.status)
          .headers(entry.answer.headers)
          .send(Buffer.from(entry.answer.body));
      case "replay":
        request.idempotency = entry.state;
        this.#exchanges.set(request, { as: "replay", response: entry.response, before });
        return reply.code(entry.response.status).send(payloadOf(entry.response.body));
      case "rethrow":
        request.idempotency = entry.state;
        reply.header(...this.#protection.replayHeader);
        throw entry.error;
      case "run": {
        const { run } = entry;
        request.idempotency = run.state;
        this.#exchanges.set(request, { as: "run", run, before, handler: "waiting", isSeen: false });
        return undefined;
      }
    }
  };

  /** The route's own handler, of which it is seen when it is done. */
  get handler(): RouteHandlerMethod {
    const protection = this;
    return function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const exchange = protection.#exchanges.get(request);
      if (exchange?.as !== "run") return protection.#handler.call(this, request, reply);
      exchange.handler = "running";
      let answer: unknown;
      try {
        answer = protection.#handler.call(this, request, reply);
      } catch (error) {
        exchange.handler = "settled";
        throw error;
      }
      if (!isThenable(answer)) {
        exchange.handler = "settled";
        if (answer === undefined) endIfHijacked(exchange, reply);
        return answer;
      }
      return settled(exchange, reply, answer);
    };
  }

  readonly beforeError = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const exchange = this.#exchanges.get(request);
    if (exchange?.as !== "run" || exchange.handler !== "running") return;
    exchange.beforeError = headOf(reply);
  };

  readonly capture = async (
    request: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
  ): Promise<unknown> => {
    const exchange = this.#exchanges.get(request);
    if (exchange === undefined) return payload;
    if (exchange.as === "replay") return this.#substitute(exchange, reply);
    // What comes after the first response is an error on its way out, and no outcome.
    if (exchange.isSeen) return payload;
    exchange.isSeen = true;
    return await captured(exchange, reply, payload);
  };

  /** Puts the kept response where the first one was captured, so that the rest of the way is the same. */
  #substitute({ response, before }: ReplayExchange, reply: FastifyReply): unknown {
    reply.code(response.status);
    const names = new Set(response.headers.map(([name]) => name));
    const rules = { allow: new Set<string>(), deny: new Set<string>() };
    for (const [name] of headersSince(before, reply.getHeaders() as OutgoingHeaders, rules)) {
      if (!names.has(name)) reply.removeHeader(name);
    }
    for (const [name, value] of response.headers) setHeader(reply, name, value);
    reply.header(...this.#protection.replayHeader);
    return payloadOf(response.body);
  }
}

async function captured(
  exchange: RunExchange,
  reply: FastifyReply,
  sent: unknown,
): Promise<unknown> {
  const { run, before } = exchange;
  let seen: Awaited<ReturnType<typeof seenPayload>>;
  try {
    seen = await seenPayload(reply, sent, run.maxBody);
  } catch (error) {
    // What Fastify answers to that comes here again.
    exchange.isSeen = false;
    throw error;
  }
  const head = headOf(reply);
  const headers = headersSince(before, head.headers, run.headerRules);
  const { body, payload } = seen;
  const response = { status: head.status, headers, ...(body !== undefined && { body }) };
  if (run.isLeftOpenBy(response) && (await isStillRunning(exchange))) {
    exchange.sentEarly = { response, head };
    return payload;
  }
  await run.end(response);
  return payload;
}

/** A handler that has just passed its answer on is done within this turn of the event loop. */
async function isStillRunning(exchange: RunExchange): Promise<boolean> {
  if (exchange.handler === "running") await nextTurn();
  return exchange.handler === "running";
}

async function settled(
  exchange: RunExchange,
  reply: FastifyReply,
  answer: PromiseLike<unknown>,
): Promise<unknown> {
  const withdraw = noticeReturned(exchange, reply);
  let value: unknown;
  try {
    value = await answer;
  } catch (error) {
    exchange.handler = "settled";
    if (exchange.sentEarly !== undefined) await exchange.run.end(exchange.sentEarly.response);
    throw error;
  } finally {
    withdraw();
  }
  exchange.handler = "settled";
  if (exchange.sentEarly !== undefined) {
    await endLate(exchange, reply, value);
    return reply;
  }
  if (value !== undefined) return value;
  // Its response is being written: Fastify must not take the missing value for another one.
  if (exchange.isSeen) return reply;
  if (reply.sent) endIfHijacked(exchange, reply);
  else if (isGone(reply)) await endWithoutClient(exchange, reply);
  return undefined;
}

/** `return reply` waits for the response, and is noticed by that: the handler itself is done. */
function noticeReturned(exchange: RunExchange, reply: FastifyReply): () => void {
  const { then } = reply;
  // biome-ignore lint/suspicious/noThenProperty: replies are thenable, and this is how they are awaited.
  Object.defineProperty(reply, "then", {
    configurable: true,
    value: (...on: Parameters<typeof then>) => {
      exchange.handler = "settled";
      return then.apply(reply, on);
    },
  });
  return () => Reflect.deleteProperty(reply, "then");
}

function endIfHijacked(exchange: RunExchange, reply: FastifyReply): void {
  if (!reply.sent || exchange.isSeen) return;
  exchange.isSeen = true;
  exchange.run.endWith(reply.raw);
}

/** Fastify sends nothing to a client that has left, unless the handler has answered a value. */
function isGone({ request, raw }: FastifyReply): boolean {
  return raw.destroyed || request.raw.destroyed || request.socket?.destroyed !== false;
}

async function endWithoutClient(exchange: RunExchange, reply: FastifyReply): Promise<void> {
  exchange.isSeen = true;
  const after = reply.getHeaders() as OutgoingHeaders;
  const headers = headersSince(exchange.before, after, exchange.run.headerRules);
  await exchange.run.end({ status: reply.statusCode, headers, body: { kind: "none" } });
}

function setHeader(reply: FastifyReply, name: string, value: string | readonly string[]): void {
  reply.removeHeader(name);
  reply.header(name, typeof value === "string" ? value : [...value]);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}

function isMultipart(request: FastifyRequest): boolean {
  return request.headers["content-type"]?.trim().toLowerCase().startsWith("multipart/") ?? false;
}
