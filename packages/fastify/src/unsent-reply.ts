import { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { RunExchange } from "./exchange.ts";

type ReplyClass = new (
  raw: ServerResponse,
  request: FastifyRequest,
  log: FastifyReply["log"],
) => FastifyReply;

/**
 * A reply of the same kind whose response goes nowhere. By it, what a handler answers after somebody else
 * has goes through the same hooks, schemas and error handlers as an answer that is sent, and is kept.
 * It begins with what was there before the handler, and what that has set.
 */
export function unsentReply({ reply, before, own }: RunExchange): FastifyReply {
  const { request, log } = reply;
  const unsent = new (reply.constructor as ReplyClass)(
    new ServerResponse(request.raw),
    request,
    log,
  );
  // What plugins have put on the reply, by names that they have declared.
  for (const name of Object.keys(reply).filter((each) => !NOT_COPIED.has(each))) {
    Reflect.set(unsent, name, Reflect.get(reply, name));
  }
  for (const [name, value] of Object.entries({ ...before, ...own.headers })) {
    if (value !== undefined) unsent.header(name, value);
  }
  if (own.status !== undefined) unsent.code(own.status);
  if (own.serializer !== undefined) unsent.serializer(own.serializer);
  return unsent;
}

const NOT_COPIED = new Set(["raw", "request", "log", "send"]);
