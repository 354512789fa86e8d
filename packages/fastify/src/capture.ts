import { setImmediate as nextTurn } from "node:timers/promises";
import { isClosed } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { endAfterGrace, keepUnsent } from "./own-answer.ts";
import { seenPayload, unpacked } from "./payload.ts";

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
  // Before the handler another hook may answer in its place.
  const isOwn = exchange.isOwn(via) || exchange.handler === "waiting";
  // An error handler that forgets to return its reply sends nothing after something, which must not overtake.
  if (isOwn && exchange.isCaptured) return await neverAgain();
  // What comes after the first response is an error on its way out, and no outcome.
  if (exchange.isEnded || exchange.sentEarly !== undefined) return given;
  if (!isOwn) {
    exchange.isAnsweredByOthers = true;
    return given;
  }
  exchange.isEnded = true;
  exchange.isCaptured = true;
  try {
    const payload = await kept(exchange, via, given);
    exchange.isCaptured = false;
    return payload;
  } catch (error) {
    exchange.isEnded = false;
    exchange.isCaptured = false;
    if (isClosed(exchange.reply.raw)) endAfterGrace(exchange);
    // What Fastify answers to that comes here again, and is not sent where others have answered.
    if (!isOvertaken(exchange, via)) throw error;
    keepUnsent(exchange, error);
    return await neverAgain();
  }
}

/** @throws what a stream fails with */
async function kept(exchange: RunExchange, via: FastifyReply, given: unknown): Promise<unknown> {
  const { run, reply, before, sentHead, isInPlaceOfOthers } = exchange;
  const isUnsent = exchange.isUnsent(via);
  const sent = unpacked(via, given);
  // Where somebody else has begun to answer as well, the response's head is not the handler's any more.
  const isTheirs = isInPlaceOfOthers && !isUnsent && sentHead !== undefined;
  const { status, headers: now } = isTheirs ? sentHead : headOf(via);
  const headers = run.keptHeaders(before, now);
  const type = String(now["content-type"] ?? "");
  const { body, payload } = await seenPayload(via, sent, run.maxBody, type);
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
  if (!isUnsent && !isOvertaken(exchange, via) && !isSent(reply)) {
    // What is sent is what is kept, whatever was set after it.
    if (reply.statusCode !== status) reply.code(status);
    return payload;
  }
  // Nobody will read what is left of it.
  (payload as { destroy?: () => void } | null | undefined)?.destroy?.();
  return await neverAgain();
}

/** Whether the handler's answer is on its way to a client that gets somebody else's. */
function isOvertaken({ carrier, isInPlaceOfOthers }: RunExchange, via: FastifyReply): boolean {
  return via === carrier && isInPlaceOfOthers;
}

function isSent(reply: FastifyReply): boolean {
  return reply.sent || reply.raw.headersSent;
}

/** Another response is on its way or out: this one goes no further. */
function neverAgain(): Promise<never> {
  return new Promise(() => undefined);
}
