import type { FastifyReply } from "fastify";
import type { RunExchange } from "./exchange.ts";
import { toldSent, tookResponse } from "./own-answer.ts";

/** Called with the reply as `this` that each of them answers. */
type Override = (this: FastifyReply, exchange: RunExchange, ...given: never[]) => void;

/** What is done in another way than by the reply that others have. */
const OVERRIDES: Readonly<Record<string, Override>> = {
  code: setStatus,
  status: setStatus,
  header({ own, reply }, name: string, value: string) {
    own.headers[name.toLowerCase()] = value;
    reply.header(name, value);
  },
  removeHeader({ own, reply }, name: string) {
    delete own.headers[name.toLowerCase()];
    reply.removeHeader(name);
  },
  type({ own, reply }, contentType: string) {
    own.headers["content-type"] = contentType;
    reply.type(contentType);
  },
  serializer({ own, reply }, serializer: (payload: unknown) => string) {
    own.serializer = serializer;
    reply.serializer(serializer);
  },
  redirect({ own, reply, isDisturbed }, url: string, status?: number) {
    const known = own.status ?? (isDisturbed ? undefined : reply.statusCode);
    const byDefault = known === undefined || known === 200 ? 302 : known;
    this.header("location", url)
      .code(status || byDefault)
      .send();
  },
  callNotFound(exchange) {
    if (exchange.isAnsweredByOthers) tookResponse(exchange);
    else Reflect.apply(exchange.reply.callNotFound, this, []);
  },
  hijack(exchange) {
    exchange.reply.hijack();
    tookResponse(exchange);
  },
} satisfies Partial<Record<keyof FastifyReply, Override>>;

function setStatus({ own, reply }: RunExchange, status: number): void {
  reply.code(status);
  own.status = Number(status);
}

/** They only read, though by the raw response. */
const READERS = new Set<string | symbol>(["getHeader", "getHeaders", "hasHeader"]);

/**
 * The reply, by which is known what is done: a time-out around the handler answers by the reply itself,
 * and what the handler does after that would be lost.
 *
 * @param send what becomes of what is sent by it
 * @param isHandlers whether it is the one that the handler has
 */
export function ownReply(
  exchange: RunExchange,
  send: (payload?: unknown) => void,
  isHandlers = false,
): FastifyReply {
  const own: FastifyReply = new Proxy(exchange.reply, {
    get: (reply, name) => {
      if (name === "send") {
        return (payload?: unknown) => {
          send(payload);
          return own;
        };
      }
      if (typeof name === "string" && Object.hasOwn(OVERRIDES, name)) {
        return (...given: readonly unknown[]) => {
          Reflect.apply(OVERRIDES[name] as Override, own, [exchange, ...given]);
          return own;
        };
      }
      if (isHandlers && name === "raw") exchange.hasRaw = true;
      if (isHandlers && name === "sent" && reply.sent) toldSent(exchange);
      if (isHandlers && name === "then") {
        return (...on: Parameters<FastifyReply["then"]>) => {
          exchange.isAwaited = true;
          reply.then(...on);
        };
      }
      const value: unknown = Reflect.get(reply, name);
      return READERS.has(name) ? (value as FastifyReply["getHeader"]).bind(reply) : value;
    },
  });
  return own;
}
