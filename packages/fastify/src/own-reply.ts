import { AsyncLocalStorage } from "node:async_hooks";
import type { FastifyReply } from "fastify";
import { type Head, headOf, type RunExchange } from "./exchange.ts";

/** Who began what is on its way through the hooks, and how the response stood then. */
interface Sending {
  readonly exchange: RunExchange;
  readonly isOwn: boolean;
  readonly head: Head;
}

const sendings = new AsyncLocalStorage<Sending>();

/** Who has sent what is on its way; nothing where a hook has lost that. */
export function sendingOf(exchange: RunExchange): Sending | undefined {
  const sending = sendings.getStore();
  return sending?.exchange === exchange ? sending : undefined;
}

/** What the handler has returned or thrown, which Fastify is about to send for it. */
interface Returned {
  readonly value: unknown;
}

/**
 * The reply as the handler gets it: what it does there is known for its own. A time-out around it
 * answers by the reply itself, and what the handler does after that would be lost.
 *
 * @param returned what the handler has returned, or thrown, once it has
 * @param onSend called where the handler sends something. If it answers true, nothing is to be sent
 * @param onTaken called where the handler takes the response away from Fastify
 * @param onToldSent called where the handler asks whether its reply was sent, and it was
 */
export function ownReply(
  exchange: RunExchange,
  reply: FastifyReply,
  returned: () => Returned | undefined,
  onSend: (payload: unknown) => boolean,
  onTaken: () => void,
  onToldSent: () => void,
): FastifyReply {
  const { own } = exchange;
  const { send } = reply;
  const sendAs = (isOwn: boolean, payload: unknown) =>
    sendings.run({ exchange, isOwn, head: headOf(reply) }, () => send.call(reply, payload));
  // Whoever else has this reply sends by it.
  Object.defineProperty(reply, "send", {
    configurable: true,
    value: (payload: unknown) => {
      const value = returned();
      // What is made of an error on its way is another payload, and begins where the first one was.
      const isNested = sendingOf(exchange)?.isOwn === true;
      const isReturned =
        value !== undefined && (value.value === payload || value.value instanceof Error);
      exchange.isDisturbed ||= !(isNested || isReturned);
      return sendAs(isNested || isReturned, payload);
    },
  });
  const code = (status: number) => {
    own.status = status;
    reply.code(status);
    return proxy;
  };
  const overrides = {
    code,
    status: code,
    header: (name: string, value: string) => {
      own.headers[name.toLowerCase()] = value;
      reply.header(name, value);
      return proxy;
    },
    removeHeader: (name: string) => {
      delete own.headers[name.toLowerCase()];
      reply.removeHeader(name);
      return proxy;
    },
    type: (contentType: string) => {
      own.headers["content-type"] = contentType;
      reply.type(contentType);
      return proxy;
    },
    redirect: (url: string, status?: number) => {
      overrides.header("location", url);
      code(status ?? own.status ?? 302);
      return overrides.send(undefined);
    },
    send: (payload?: unknown) => {
      if (!onSend(payload)) sendAs(true, payload);
      return proxy;
    },
    callNotFound: () => {
      if (exchange.isAnsweredByOthers) onTaken();
      else Reflect.apply(reply.callNotFound, proxy, []);
      return proxy;
    },
    hijack: () => {
      reply.hijack();
      onTaken();
      return proxy;
    },
  } as const satisfies Partial<Record<keyof FastifyReply, unknown>>;
  const proxy: FastifyReply = new Proxy(reply, {
    get: (target, name, receiver) => {
      if (Object.hasOwn(overrides, name)) return overrides[name as keyof typeof overrides];
      if (name === "raw") exchange.hasRaw = true;
      if (name === "sent" && target.sent) onToldSent();
      if (name === "then") {
        return (...on: Parameters<FastifyReply["then"]>) => {
          exchange.isAwaited = true;
          target.then(...on);
        };
      }
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
  return proxy;
}
