import { AsyncLocalStorage } from "node:async_hooks";
import type { FastifyReply } from "fastify";
import type { RunExchange } from "./exchange.ts";

const handlers = new AsyncLocalStorage<RunExchange>();

/** Runs the handler, so that what it does to its reply is known for its own. */
export function asHandler<T>(exchange: RunExchange, handler: () => T): T {
  return handlers.run(exchange, handler);
}

/**
 * Notices what the handler itself does to its reply: a time-out around it answers by the same reply, and
 * what the handler does after that would be lost.
 *
 * @param onSend called where the handler sends something. If it answers true, nothing is to be sent
 * @param onReturned called where the handler returns its reply, to answer by it
 */
export function noticeOwnAnswer(
  exchange: RunExchange,
  reply: FastifyReply,
  onSend: (payload: unknown) => boolean,
  onReturned: () => void,
): void {
  const isOwn = () => handlers.getStore() === exchange;
  const { own } = exchange;
  const { code, header, send, then, type } = reply;
  const ownCode = (status: number) => {
    if (isOwn()) own.status = status;
    return code.call(reply, status);
  };
  Object.assign(reply, {
    code: ownCode,
    status: ownCode,
    header: (name: string, value: unknown) => {
      if (isOwn()) own.headers[name.toLowerCase()] = value as string;
      return header.call(reply, name, value);
    },
    type: (contentType: string) => {
      if (isOwn()) own.headers["content-type"] = contentType;
      return type.call(reply, contentType);
    },
    send: (payload: unknown) => {
      if (isOwn() && onSend(payload)) return reply;
      return send.call(reply, payload);
    },
  });
  // biome-ignore lint/suspicious/noThenProperty: replies are thenable, and this is how they are awaited.
  Object.defineProperty(reply, "then", {
    configurable: true,
    value: (...on: Parameters<typeof then>) => {
      onReturned();
      return then.apply(reply, on);
    },
  });
}
