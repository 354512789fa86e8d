import { headersOutOfPlace, type Protection, type RequestBody } from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  preParsingHookHandler,
  RequestPayload,
  RouteHandlerMethod,
} from "fastify";
import { captured } from "./capture.ts";
import { type Exchange, headOf, type ReplayExchange, RunExchange } from "./exchange.ts";
import { endIfTaken, runHandler } from "./handler.ts";
import { endAfterGrace } from "./own-answer.ts";
import { payloadOf } from "./payload.ts";
import { RequestBodies } from "./request-body.ts";

/** Sees what is sent by a reply. */
class Sends {
  /** Whether something was, before there was an exchange to ask. */
  hasBegun = false;
  exchange: RunExchange | undefined;
  /** Whether the store was asked for the key. */
  isClaimed = false;
  /** What sends without being seen. */
  readonly plain: FastifyReply["send"];

  constructor(reply: FastifyReply) {
    this.plain = reply.send;
    const value = (payload: unknown) => {
      if (this.exchange !== undefined) return this.exchange.sendForOthers(payload);
      this.hasBegun = true;
      return this.plain.call(reply, payload);
    };
    Object.defineProperty(reply, "send", { configurable: true, writable: true, value });
  }
}

/** The hooks of a protected route, and its handler, in the order in which Fastify calls them. */
export class RouteProtection {
  readonly #protection: Protection<FastifyRequest>;
  readonly #handler: RouteHandlerMethod;
  readonly #bodies = new RequestBodies();
  readonly #sends = new WeakMap<FastifyRequest, Sends>();
  readonly #exchanges = new WeakMap<FastifyRequest, Exchange>();

  constructor(protection: Protection<FastifyRequest>, handler: RouteHandlerMethod) {
    this.#protection = protection;
    this.#handler = handler;
  }

  readonly preParsing: preParsingHookHandler = (request, reply, payload, done) => {
    const isProtected = this.#protection.isFor(request.method);
    if (isProtected) this.#sends.set(request, new Sends(reply));
    if (!isProtected || isMultipart(request)) {
      done(null, payload);
    } else if (isFlowing(payload)) {
      // In this turn: what flows before its parser listens would be lost to it.
      this.#bodies.overhear(request, payload);
      done(null, payload);
    } else {
      this.#bodies.keep(request, payload).then((kept) => done(null, kept), done);
    }
  };

  readonly claim = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    if (!this.#protection.isFor(request.method)) return undefined;
    const sends = this.#sends.get(request) ?? new Sends(reply);
    this.#sends.set(request, sends);
    sends.isClaimed = true;
    const entry = await this.#protection.enter(request, {
      method: request.method,
      url: request.originalUrl,
      rawHeaders: request.raw.rawHeaders,
      contentType: request.headers["content-type"],
      readBody: async () => this.#bodyOf(request),
      report: (error) => request.log.error({ err: error }, "idempotency"),
    });
    // Somebody has answered before, or while the store was asked. Fastify would call the handler else.
    if (sends.hasBegun || reply.sent || reply.raw.headersSent) {
      if (entry.as === "run") await entry.run.endUnstarted();
      return reply;
    }
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
        request.idempotency = entry.run.state;
        const exchange = new RunExchange(entry.run, reply, sends.plain);
        sends.exchange = exchange;
        this.#exchanges.set(request, exchange);
        // Nothing else may tell of a response that was taken away from Fastify.
        reply.raw.once("close", () => {
          if (exchange.handler === "running") return;
          endIfTaken(exchange);
          endAfterGrace(exchange);
        });
        return undefined;
      }
    }
  };

  /** Another plugin may set a route's hooks anew, and ours with them. */
  #refuseUnclaimed(request: FastifyRequest): void {
    if (!this.#protection.isFor(request.method) || this.#sends.get(request)?.isClaimed) return;
    throw new Error(
      `The route ${request.routeOptions.url} asks for idempotency, and its hooks are gone: something has ` +
        "replaced its preHandler hooks in place of adding to them. The handler was not run.",
    );
  }

  #bodyOf(request: FastifyRequest): RequestBody | undefined {
    const body = this.#bodies.of(request);
    // Node lets go of what nobody has begun to read, and of nothing else.
    if (body === undefined) request.raw.resume();
    return body;
  }

  /** The route's own handler, of which it is seen when it is done. */
  get handler(): RouteHandlerMethod {
    const protection = this;
    return function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      protection.#refuseUnclaimed(request);
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

/** Whether another hook listens to it already. */
function isFlowing(payload: RequestPayload): boolean {
  return payload.readableFlowing === true || payload.listenerCount("data") > 0;
}

function isMultipart(request: FastifyRequest): boolean {
  return request.headers["content-type"]?.trim().toLowerCase().startsWith("multipart/") ?? false;
}
