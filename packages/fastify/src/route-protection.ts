import { headersOutOfPlace, type Protection } from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RequestPayload,
  RouteHandlerMethod,
} from "fastify";
import { captured } from "./capture.ts";
import { type Exchange, headOf, type ReplayExchange, RunExchange } from "./exchange.ts";
import { endIfTaken, runHandler } from "./handler.ts";
import { payloadOf } from "./payload.ts";
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
    switch (entry.as) {
      case "pass":
        return undefined;
      case "answer":
        return reply
          .code(entry.answer.status)
          .headers(entry.answer.headers)
          .send(entry.answer.body);
      case "replay": {
        const { response, state } = entry;
        request.idempotency = state;
        const before = headOf(reply).headers;
        this.#exchanges.set(request, { as: "replay", response, before, isSubstituted: false });
        return reply.code(response.status).send(payloadOf(response.body));
      }
      case "rethrow":
        request.idempotency = entry.state;
        for (const [name, value] of entry.headers) setHeader(reply, name, value);
        reply.header(...this.#protection.replayHeader);
        throw entry.error;
      case "run": {
        // Somebody has answered while the store was asked: Fastify does not call the handler then.
        if (reply.sent || reply.raw.headersSent) return await entry.run.endUnstarted();
        request.idempotency = entry.run.state;
        const exchange = new RunExchange(entry.run, reply);
        this.#exchanges.set(request, exchange);
        // Nothing else may tell of a response that was taken away from Fastify.
        reply.raw.once("close", () => {
          if (exchange.handler !== "running") endIfTaken(exchange);
        });
        return undefined;
      }
    }
  };

  /** The route's own handler, of which it is seen when it is done. */
  get handler(): RouteHandlerMethod {
    const protection = this;
    return function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const exchange = protection.#exchanges.get(request);
      const call = (own: FastifyReply) => protection.#handler.call(this, request, own);
      return exchange?.as === "run" ? runHandler(exchange, call) : call(reply);
    };
  }

  readonly capture = async (
    request: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
  ): Promise<unknown> => {
    const exchange = this.#exchanges.get(request);
    if (exchange === undefined) return payload;
    if (exchange.as === "run") return await captured(exchange, reply, payload);
    if (exchange.isSubstituted) return payload;
    exchange.isSubstituted = true;
    return this.#substitute(exchange, reply);
  };

  /** Puts the kept response where the first one was captured, so that the rest of the way is the same. */
  #substitute({ response, before }: ReplayExchange, reply: FastifyReply): unknown {
    reply.code(response.status);
    for (const name of headersOutOfPlace(before, headOf(reply).headers, response.headers)) {
      reply.removeHeader(name);
    }
    for (const [name, value] of response.headers) setHeader(reply, name, value);
    reply.header(...this.#protection.replayHeader);
    return payloadOf(response.body);
  }
}

function setHeader(reply: FastifyReply, name: string, value: string | readonly string[]): void {
  reply.removeHeader(name).header(name, typeof value === "string" ? value : [...value]);
}

function isMultipart(request: FastifyRequest): boolean {
  return request.headers["content-type"]?.trim().toLowerCase().startsWith("multipart/") ?? false;
}
