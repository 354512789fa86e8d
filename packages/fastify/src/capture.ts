import { setImmediate as nextTurn } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { endLateError } from "./late.ts";
import { type Seen, seenPayload, unpacked } from "./payload.ts";

/**
 * Writes what is about to be sent, where it is the handler's, and answers what is to be sent.
 *
 * @param via the reply with which it goes through the hooks
 */
export async function captured(
  exchange: RunExchange,
  via: FastifyReply,
  given: unknown,
): Promise<unknown> {
  // What comes after the first response is an error on its way out, and no outcome.
  if (exchange.isEnded || exchange.sentEarly !== undefined) return given;
  if (isOfOthers(exchange, via)) {
    exchange.isAnsweredByOthers = true;
    return given;
  }
  exchange.isEnded = true;
  const { run, reply, before, sentHead } = exchange;
  const sent = unpacked(reply, given);
  // Where somebody else has begun to answer as well, the response's head is not the handler's any more.
  const { status, headers: now } =
    exchange.isDisturbed && sentHead !== undefined ? sentHead : headOf(reply);
  const headers = run.keptHeaders(before, now);
  let seen: Seen;
  try {
    seen = await seenPayload(reply, sent, run.maxBody);
  } catch (error) {
    if (isSent(reply)) {
      await endLateError(exchange, error);
      return await neverAgain();
    }
    // What Fastify answers to that comes here again.
    exchange.isEnded = false;
    throw error;
  }
  const { body, payload } = seen;
  const response = { status, headers, ...(body !== undefined && { body }) };
  if (exchange.handler === "running" && run.isGivenBackBy(response)) {
    // A handler that answers by a callback, in its own turn, is done within that turn of the event loop.
    await nextTurn();
    if (exchange.handler === "running") {
      exchange.isEnded = false;
      exchange.sentEarly = response;
      return payload;
    }
  }
  await run.end(response);
  return isSent(reply) ? await neverAgain() : payload;
}

/** Whether somebody else answers while the handler is at work, or in place of what it has answered. */
function isOfOthers({ handler, hasAnswered, carrier }: RunExchange, via: FastifyReply): boolean {
  if (handler === "waiting" || via === carrier) return false;
  return handler !== "settled" || hasAnswered;
}

function isSent(reply: FastifyReply): boolean {
  return reply.sent || reply.raw.headersSent;
}

/** Another response is out already: this one goes no further. */
function neverAgain(): Promise<never> {
  return new Promise(() => undefined);
}
