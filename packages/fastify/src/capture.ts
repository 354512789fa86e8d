import { setImmediate as nextTurn } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { endLateError } from "./late.ts";
import { sendingOf } from "./own-reply.ts";
import { type Seen, seenPayload, unpacked } from "./payload.ts";

const NOTHING = { kind: "none" } as const;

/** Writes what is about to be sent, where it is the handler's, and answers what is to be sent. */
export async function captured(
  exchange: RunExchange,
  reply: FastifyReply,
  given: unknown,
): Promise<unknown> {
  // What comes after the first response is an error on its way out, and no outcome.
  if (exchange.isEnded || exchange.sentEarly !== undefined) return given;
  const sending = sendingOf(exchange);
  if (isOfOthers(exchange, reply, sending?.isOwn)) {
    exchange.isAnsweredByOthers = true;
    return given;
  }
  exchange.isEnded = true;
  const { run, before } = exchange;
  const sent = unpacked(reply, given);
  // Where somebody else has begun to answer as well, the response's head is not the handler's any more.
  const { status, headers: now } =
    sending?.isOwn && exchange.isDisturbed ? sending.head : headOf(reply);
  const headers = run.keptHeaders(before, now);
  let seen: Seen;
  try {
    seen = await seenPayload(reply, sent, run.maxBody);
  } catch (error) {
    if (reply.sent || reply.raw.headersSent) {
      await endLateError(exchange, error);
      return await neverAgain();
    }
    // What Fastify answers to that comes here again.
    exchange.isEnded = false;
    throw error;
  }
  const { body, payload } = seen;
  const response = { status, headers, ...(body !== undefined && { body }) };
  if (run.isGivenBackBy(response) && (await isStillRunning(exchange))) {
    exchange.isEnded = false;
    exchange.sentEarly = response;
    return payload;
  }
  await run.end(response);
  return reply.sent || reply.raw.headersSent ? await neverAgain() : payload;
}

/**
 * Whether somebody else answers while the handler is at work. Where a hook has lost who it was, only an
 * answer that could open the key, or be taken for a failure, is not taken for the handler's.
 */
function isOfOthers(
  { handler, hasAnswered, run, before }: RunExchange,
  reply: FastifyReply,
  isOwn: boolean | undefined,
): boolean {
  if (handler === "waiting" || isOwn === true) return false;
  if (isOwn === false) return handler !== "settled" || hasAnswered;
  const { status, headers } = headOf(reply);
  const response = { status, headers: run.keptHeaders(before, headers), body: NOTHING };
  return handler !== "settled" && !hasAnswered && (status >= 500 || run.isGivenBackBy(response));
}

/** Another response is out already: this one goes no further. */
function neverAgain(): Promise<never> {
  return new Promise(() => undefined);
}

/** A handler that answers by a callback, in its own turn, is done within that turn of the event loop. */
async function isStillRunning(exchange: RunExchange): Promise<boolean> {
  if (exchange.handler === "running") await nextTurn();
  return exchange.handler === "running";
}
