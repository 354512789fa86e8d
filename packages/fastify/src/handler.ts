import { isClosed } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { answerBySending, endAfterGrace, endThrown, keepUnsent } from "./own-answer.ts";
import { ownReply } from "./own-reply.ts";

/** Calls the handler, and sees when it is done and what it has answered. */
export function runHandler(exchange: RunExchange, call: (own: FastifyReply) => unknown): unknown {
  // Another hook has answered in its place, and that is the outcome.
  if (exchange.isEnded) return exchange.reply;
  exchange.handler = "running";
  const own = ownReply(exchange, (payload) => answerBySending(exchange, payload), true);
  let answer: unknown;
  try {
    answer = call(own);
  } catch (error) {
    settle(exchange, error);
    endIfTaken(exchange);
    return failed(exchange, error);
  }
  if (answer !== own && isThenable(answer)) return settled(exchange, own, answer);
  if (answer === undefined || answer === own) {
    exchange.handler = exchange.hasAnswered ? "settled" : "sending";
    endIfTaken(exchange);
    return undefined;
  }
  settle(exchange, answer);
  endIfTaken(exchange);
  if (exchange.isAnswered) return undefined;
  if (!exchange.isInPlaceOfOthers) return answer;
  keepUnsent(exchange, answer);
  return undefined;
}

function settle(exchange: RunExchange, value: unknown): void {
  exchange.handler = "settled";
  exchange.returned = { value };
}

/** @throws the error, for Fastify to answer it, but where something was answered already */
function failed(exchange: RunExchange, error: unknown): FastifyReply {
  const { reply } = exchange;
  if (exchange.isAnswered) {
    // As Fastify does with what comes after a response was sent.
    reply.log.error({ err: error }, "The handler failed after it had answered.");
  } else if (exchange.isInPlaceOfOthers && error instanceof Error) {
    keepUnsent(exchange, error);
  } else if (exchange.isInPlaceOfOthers) {
    void endThrown(exchange, error);
  } else {
    throw error;
  }
  return reply;
}

async function settled(
  exchange: RunExchange,
  own: FastifyReply,
  answer: PromiseLike<unknown>,
): Promise<unknown> {
  const { reply } = exchange;
  try {
    const value = await answer;
    await endEarly(exchange);
    endIfTaken(exchange);
    return await answered(exchange, own, value);
  } catch (error) {
    settle(exchange, error);
    await endEarly(exchange);
    endIfTaken(exchange);
    return failed(exchange, error);
  } finally {
    if (isClosed(reply.raw)) endAfterGrace(exchange);
  }
}

/** @returns what Fastify is to send; the reply itself where it is to send nothing */
async function answered(
  exchange: RunExchange,
  own: FastifyReply,
  value: unknown,
): Promise<unknown> {
  const { reply } = exchange;
  // Its response is being written: Fastify must not take a missing value for another one.
  if (exchange.isAnswered) {
    exchange.handler = "settled";
    return reply;
  }
  // It has returned its reply, and answers by that: nothing is known before it does.
  if (value === own || (value === undefined && exchange.isAwaited)) {
    exchange.handler = "sending";
    if (hasGivenUp(exchange)) await exchange.end((run) => run.endUnseen());
    return reply;
  }
  settle(exchange, value);
  exchange.hasAnswered = true;
  if (exchange.isInPlaceOfOthers) {
    keepUnsent(exchange, value);
    return reply;
  }
  if (value === undefined && isGone(reply)) await endWithoutClient(exchange);
  return value;
}

/** What gave the key back was sent while the handler still ran: now it does not any more. */
async function endEarly(exchange: RunExchange): Promise<void> {
  const { sentEarly } = exchange;
  if (sentEarly !== undefined) await exchange.end((run) => run.end(sentEarly));
}

/** A handler that knows its reply for sent, or has written to the raw response, answers no more. */
function hasGivenUp({ isToldSent, hasRaw, isAnsweredByOthers, reply }: RunExchange): boolean {
  return isToldSent || (hasRaw && reply.raw.headersSent && !isAnsweredByOthers);
}

/** A handler that has hijacked its reply, or written to the raw response, answers by itself. */
export function endIfTaken(exchange: RunExchange): void {
  const { reply, handler, hasRaw, isAnsweredByOthers, isEnded, sentEarly } = exchange;
  if (isEnded || isAnsweredByOthers || sentEarly !== undefined) return;
  if (!reply.sent && !reply.raw.headersSent) return;
  const isOutcome = hasRaw || handler === "waiting";
  if (isOutcome) void exchange.end((run) => run.endWith(reply.raw, exchange.before));
  else exchange.isAnsweredByOthers = true;
}

/** When Fastify sends nothing for a handler that has answered no value. */
function isGone({ request }: FastifyReply): boolean {
  return request.raw.aborted || request.socket?.destroyed !== false;
}

async function endWithoutClient(exchange: RunExchange): Promise<void> {
  const { status, headers } = headOf(exchange.reply);
  const kept = exchange.run.keptHeaders(exchange.before, headers);
  await exchange.end((run) => run.end({ status, headers: kept, body: { kind: "none" } }));
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}
