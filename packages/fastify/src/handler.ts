import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { endLate, endLateError } from "./late.ts";
import { sendsLater } from "./own-answer.ts";
import { ownReply } from "./own-reply.ts";

/** Calls the handler, and sees when it is done and what it has answered. */
export function runHandler(exchange: RunExchange, call: (own: FastifyReply) => unknown): unknown {
  exchange.handler = "running";
  const own = ownReply(exchange);
  let answer: unknown;
  try {
    answer = call(own);
  } catch (error) {
    settle(exchange, error);
    endIfTaken(exchange);
    if (exchange.isAnswered) return afterAnswer(exchange, error);
    throw error;
  }
  if (answer !== own && isThenable(answer)) return settled(exchange, own, answer);
  if (answer !== undefined && answer !== own) settle(exchange, answer);
  else if (exchange.hasAnswered) exchange.handler = "settled";
  else sendsLater(exchange);
  endIfTaken(exchange);
  return exchange.returned === undefined || exchange.isAnswered ? undefined : answer;
}

function settle(exchange: RunExchange, value: unknown): void {
  exchange.handler = "settled";
  exchange.returned = { value };
}

/** As Fastify does with what comes after a response was sent. */
function afterAnswer({ reply }: RunExchange, error: unknown): FastifyReply {
  reply.log.error({ err: error }, "The handler failed after it had answered.");
  return reply;
}

async function settled(
  exchange: RunExchange,
  own: FastifyReply,
  answer: PromiseLike<unknown>,
): Promise<unknown> {
  const { reply } = exchange;
  let value: unknown;
  try {
    value = await answer;
  } catch (error) {
    settle(exchange, error);
    await endEarly(exchange);
    // The handler's own answer stands, and that of others does not.
    if (exchange.isAnsweredByOthers) await exchange.end(() => endLateError(exchange, error));
    endIfTaken(exchange);
    if (exchange.isAnswered) return afterAnswer(exchange, error);
    throw error;
  }
  await endEarly(exchange);
  endIfTaken(exchange);
  // Its response is being written: Fastify must not take a missing value for another one.
  if (exchange.isAnswered) {
    exchange.handler = "settled";
    return reply;
  }
  if (value === own || (value === undefined && exchange.isAwaited)) {
    await answersBySending(exchange);
    return reply;
  }
  settle(exchange, value);
  exchange.hasAnswered = true;
  if (exchange.isAnsweredByOthers) {
    await exchange.end(() => endLate(exchange, value));
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

/** It has returned its reply, and answers by that: nothing is known before it does. */
async function answersBySending(exchange: RunExchange): Promise<void> {
  const isGivenUp = exchange.isToldSent || (exchange.hasRaw && exchange.reply.raw.closed);
  if (!isGivenUp) return sendsLater(exchange);
  exchange.handler = "settled";
  await exchange.end((run) => run.endUnseen());
}

/** A handler that has hijacked its reply, or written to the raw response, answers by itself. */
export function endIfTaken(exchange: RunExchange): void {
  const { reply } = exchange;
  if (exchange.isAnsweredByOthers || exchange.sentEarly !== undefined) return;
  if (!reply.sent && !reply.raw.headersSent) return;
  // Somebody else has written to the raw response, and the handler is still at work.
  if (exchange.handler === "sending" && !exchange.hasRaw && !exchange.isEnded) {
    exchange.isAnsweredByOthers = true;
    return;
  }
  void exchange.end((run) => run.endWith(reply.raw, exchange.before));
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
