import type { FastifyReply } from "fastify";
import type { RunExchange } from "./exchange.ts";
import { answeredBySending, toldSent, tookResponse } from "./own-answer.ts";

/** Called with the handler's reply as `this`, which each of them answers to the handler. */
type Override = (this: FastifyReply, exchange: RunExchange, ...given: never[]) => void;

/** What a handler's reply does in another way than the one that others have. */
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
  redirect({ own }, url: string, status?: number) {
    this.header("location", url)
      .code(status ?? own.status ?? 302)
      .send();
  },
  send(exchange, payload?: unknown) {
    if (!answeredBySending(exchange, payload)) exchange.send(payload);
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
  own.status = status;
  reply.code(status);
}

/**
 * The reply as the handler gets it: what it does there is known for its own. A time-out around it
 * answers by the reply itself, and what the handler does after that would be lost.
 */
export function ownReply(exchange: RunExchange): FastifyReply {
  // Whoever else has this reply sends by it.
  Object.defineProperty(exchange.reply, "send", {
    configurable: true,
    value: (payload: unknown) => exchange.sendForOthers(payload),
  });
  const own: FastifyReply = new Proxy(exchange.reply, {
    get: (reply, name, receiver) => {
      if (typeof name === "string" && Object.hasOwn(OVERRIDES, name)) {
        return (...given: readonly unknown[]) => {
          Reflect.apply(OVERRIDES[name] as Override, own, [exchange, ...given]);
          return own;
        };
      }
      if (name === "raw") exchange.hasRaw = true;
      if (name === "sent" && reply.sent) toldSent(exchange);
      if (name === "then") {
        return (...on: Parameters<FastifyReply["then"]>) => {
          exchange.isAwaited = true;
          reply.then(...on);
        };
      }
      return Reflect.get(reply, name, receiver) as unknown;
    },
  });
  return own;
}
