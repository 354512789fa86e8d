import { setImmediate as nextTurn } from "node:timers/promises";
import { headersOutOfPlace, type Protection } from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RequestPayload,
  RouteHandlerMethod,
} from "fastify";
import {
  type Exchange,
  headersOf,
  type ReplayExchange,
  type RunExchange,
  runExchange,
} from "./exchange.ts";
import { endLate } from "./late.ts";
import { asHandler, noticeOwnAnswer } from "./own-answer.ts";
import { payloadOf, type Seen, seenPayload, unpacked } from "./payload.ts";
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
        const before = headersOf(reply);
        this.#exchanges.set(request, { as: "replay", response, before, isSubstituted: false });
        return reply.code(response.status).send(payloadOf(response.body));
      }
      case "rethrow":
        request.idempotency = entry.state;
        reply.header(...this.#protection.replayHeader);
        throw entry.error;
      case "run": {
        // Somebody has answered while the store was asked: Fastify does not call the handler then.
        if (reply.sent || reply.raw.headersSent) return await entry.run.endUnstarted();
        request.idempotency = entry.run.state;
        const exchange = runExchange(entry.run, headersOf(reply));
        this.#exchanges.set(request, exchange);
        // Nothing else may tell of a response that was taken away from Fastify.
        reply.raw.once("close", () => {
          if (exchange.handler !== "running") endIfTaken(exchange, reply);
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
      const call = () => protection.#handler.call(this, request, reply);
      return exchange?.as === "run" ? runHandler(exchange, reply, call) : call();
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
    for (const name of headersOutOfPlace(before, headersOf(reply), response.headers)) {
      reply.removeHeader(name);
    }
    for (const [name, value] of response.headers) {
      reply.removeHeader(name).header(name, typeof value === "string" ? value : [...value]);
    }
    reply.header(...this.#protection.replayHeader);
    return payloadOf(response.body);
  }
}

function runHandler(exchange: RunExchange, reply: FastifyReply, call: () => unknown): unknown {
  exchange.handler = "running";
  noticeOwnAnswer(
    exchange,
    reply,
    (payload) => ownSend(exchange, reply, payload),
    () => {
      if (exchange.handler === "running") exchange.handler = answeredBySending(exchange);
    },
  );
  let answer: unknown;
  try {
    answer = asHandler(exchange, call);
  } catch (error) {
    exchange.handler = "settled";
    endIfTaken(exchange, reply);
    throw error;
  }
  const isAnsweredBySending = answer === undefined || answer === reply;
  if (!isAnsweredBySending && isThenable(answer)) return settled(exchange, reply, answer);
  if (isAnsweredBySending) {
    exchange.handler = answeredBySending(exchange);
  } else {
    exchange.handler = "settled";
    exchange.hasAnswered = true;
  }
  endIfTaken(exchange, reply);
  return answer;
}

/** It has returned nothing, or its reply: it is answered by what it has sent, or will send. */
function answeredBySending({ hasAnswered }: RunExchange): "sending" | "settled" {
  return hasAnswered ? "settled" : "sending";
}

/** @returns whether somebody else has answered already, so that nothing is to be sent */
function ownSend(exchange: RunExchange, reply: FastifyReply, payload: unknown): boolean {
  exchange.hasAnswered = true;
  if (exchange.handler === "sending") exchange.handler = "settled";
  if (!exchange.isAnsweredByOthers || exchange.isEnded) return exchange.isAnsweredByOthers;
  exchange.isEnded = true;
  void endLate(exchange, reply, payload);
  return true;
}

const NOTHING = { kind: "none" } as const;

async function captured(
  exchange: RunExchange,
  reply: FastifyReply,
  given: unknown,
): Promise<unknown> {
  const sent = unpacked(reply, given);
  const { run, before, handler } = exchange;
  // What comes after the first response is an error on its way out, and no outcome.
  if (exchange.isEnded || exchange.sentEarly !== undefined) return sent;
  // While a stream is read, somebody else may answer in its place, and change what is the handler's.
  const status = reply.statusCode;
  const headers = run.keptHeaders(before, headersOf(reply));
  const isRunning = handler === "running" || handler === "sending";
  if (isRunning && !exchange.hasAnswered && run.isLeftOpenBy({ status, headers, body: NOTHING })) {
    exchange.isAnsweredByOthers = true;
    return sent;
  }
  exchange.isEnded = true;
  let seen: Seen;
  try {
    seen = await seenPayload(reply, sent, run.maxBody);
  } catch (error) {
    // What Fastify answers to that comes here again.
    exchange.isEnded = false;
    throw error;
  }
  const { body, payload } = seen;
  const response = { status, headers, ...(body !== undefined && { body }) };
  if (run.isLeftOpenBy(response) && (await isStillRunning(exchange))) {
    exchange.isEnded = false;
    exchange.sentEarly = response;
    return payload;
  }
  await run.end(response);
  return reply.sent ? await neverAgain() : payload;
}

/** Another response is out already: this one goes no further. */
function neverAgain(): Promise<never> {
  return new Promise(() => undefined);
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
  let value: unknown;
  try {
    value = await answer;
  } catch (error) {
    exchange.handler = "settled";
    await endFailed(exchange, error);
    endIfTaken(exchange, reply);
    throw error;
  }
  // It has returned its reply, and answers by that: nothing is known before it does.
  if (exchange.handler === "sending") return reply;
  exchange.handler = "settled";
  if (exchange.sentEarly !== undefined && !exchange.isEnded) {
    exchange.isEnded = true;
    await exchange.run.end(exchange.sentEarly);
  }
  if (exchange.isAnsweredByOthers && !exchange.isEnded) {
    exchange.isEnded = true;
    await endLate(exchange, reply, value);
  }
  endIfTaken(exchange, reply);
  // Its response is being written: Fastify must not take a missing value for another one.
  if (exchange.isEnded) return reply;
  exchange.hasAnswered = true;
  if (value === undefined && isGone(reply)) await endWithoutClient(exchange, reply);
  return value;
}

/** A failure that comes after an answer was sent: the handler's own stands, and that of others does not. */
async function endFailed(exchange: RunExchange, error: unknown): Promise<void> {
  const { run, own, sentEarly, isAnsweredByOthers } = exchange;
  if (exchange.isEnded || !(isAnsweredByOthers || sentEarly !== undefined)) return;
  exchange.isEnded = true;
  if (sentEarly !== undefined) await run.end(sentEarly);
  else await run.endThrown(error, run.keptHeaders({}, own.headers));
}

/** A handler that has hijacked its reply, or written to the raw response, answers by itself. */
function endIfTaken(exchange: RunExchange, reply: FastifyReply): void {
  if (exchange.isEnded || exchange.isAnsweredByOthers || exchange.sentEarly !== undefined) return;
  if (!reply.sent && !reply.raw.headersSent) return;
  exchange.isEnded = true;
  exchange.run.endWith(reply.raw, exchange.before);
}

/** When Fastify sends nothing for a handler that has answered no value. */
function isGone({ request }: FastifyReply): boolean {
  return request.raw.aborted || request.socket?.destroyed !== false;
}

async function endWithoutClient(exchange: RunExchange, reply: FastifyReply): Promise<void> {
  exchange.isEnded = true;
  const headers = exchange.run.keptHeaders(exchange.before, headersOf(reply));
  await exchange.run.end({ status: reply.statusCode, headers, body: { kind: "none" } });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}

function isMultipart(request: FastifyRequest): boolean {
  return request.headers["content-type"]?.trim().toLowerCase().startsWith("multipart/") ?? false;
}
