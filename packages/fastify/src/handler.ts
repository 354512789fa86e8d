import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { endLate, endLateError } from "./late.ts";
import { ownReply } from "./own-reply.ts";

const NOTHING = { kind: "none" } as const;

/** Calls the handler, and sees when it is done and what it has answered. */
export function runHandler(
  exchange: RunExchange,
  reply: FastifyReply,
  call: (own: FastifyReply) => unknown,
): unknown {
  exchange.handler = "running";
  let returned: { readonly value: unknown } | undefined;
  const own = ownReply(
    exchange,
    reply,
    () => returned,
    (payload) => ownSend(exchange, reply, payload),
    () => taken(exchange, reply),
    () => toldSent(exchange),
  );
  const settle = (value: unknown) => {
    exchange.handler = "settled";
    returned = { value };
  };
  let answer: unknown;
  try {
    answer = call(own);
  } catch (error) {
    settle(error);
    endIfTaken(exchange, reply);
    if (isAnswered(exchange)) return afterAnswer(reply, error);
    throw error;
  }
  if (answer !== own && isThenable(answer)) return settled(exchange, reply, own, answer, settle);
  if (answer === undefined || answer === own) {
    exchange.handler = exchange.hasAnswered ? "settled" : "sending";
    if (exchange.handler === "sending") endAfterGrace(exchange, reply);
    endIfTaken(exchange, reply);
    return undefined;
  }
  settle(answer);
  endIfTaken(exchange, reply);
  return isAnswered(exchange) ? undefined : answer;
}

/** Whether a response of the handler's is on its way or out, so that nothing else may be sent for it. */
function isAnswered({ hasAnswered, isEnded }: RunExchange): boolean {
  return hasAnswered || isEnded;
}

/** As Fastify does with what comes after a response was sent. */
function afterAnswer(reply: FastifyReply, error: unknown): FastifyReply {
  reply.log.error({ err: error }, "The handler failed after it had answered.");
  return reply;
}

/** @returns whether nothing is to be sent: somebody else has answered, or the handler itself has */
function ownSend(exchange: RunExchange, reply: FastifyReply, payload: unknown): boolean {
  if (exchange.handler === "sending") exchange.handler = "settled";
  if (exchange.hasAnswered) {
    reply.log.warn("The handler has sent something more after its answer.");
    return true;
  }
  exchange.hasAnswered = true;
  if (!exchange.isAnsweredByOthers) return false;
  if (exchange.isEnded) return true;
  exchange.isEnded = true;
  void endLate(exchange, reply, payload);
  return true;
}

/** A handler that answers by `reply.send` will not do so any more, if it does not at once. */
function toldSent(exchange: RunExchange): void {
  exchange.isToldSent = true;
  setImmediate(() => {
    if (exchange.handler !== "sending" || exchange.isEnded) return;
    exchange.isEnded = true;
    void exchange.run.endUnseen();
  });
}

/** The handler has taken its reply away from Fastify. */
function taken(exchange: RunExchange, { raw }: FastifyReply): void {
  exchange.hasRaw = true;
  const isOver = exchange.isAnsweredByOthers || raw.closed;
  if (!isOver || exchange.isEnded) return;
  exchange.isEnded = true;
  void exchange.run.endUnseen();
}

async function settled(
  exchange: RunExchange,
  reply: FastifyReply,
  own: FastifyReply,
  answer: PromiseLike<unknown>,
  settle: (value: unknown) => void,
): Promise<unknown> {
  let value: unknown;
  try {
    value = await answer;
  } catch (error) {
    settle(error);
    await endFailed(exchange, error);
    endIfTaken(exchange, reply);
    if (isAnswered(exchange)) return afterAnswer(reply, error);
    throw error;
  }
  if (exchange.sentEarly !== undefined && !exchange.isEnded) {
    exchange.handler = "settled";
    exchange.isEnded = true;
    await exchange.run.end(exchange.sentEarly);
  }
  endIfTaken(exchange, reply);
  // Its response is being written: Fastify must not take a missing value for another one.
  if (isAnswered(exchange)) {
    exchange.handler = "settled";
    return reply;
  }
  // It has returned its reply, and answers by that: nothing is known before it does.
  const isAnsweredBySending = value === own || (value === undefined && exchange.isAwaited);
  const isGivenUp = exchange.isToldSent || (exchange.hasRaw && reply.raw.closed);
  if (isAnsweredBySending && isGivenUp) {
    exchange.handler = "settled";
    exchange.isEnded = true;
    await exchange.run.endUnseen();
    return reply;
  }
  if (isAnsweredBySending) {
    exchange.handler = "sending";
    endAfterGrace(exchange, reply);
    return reply;
  }
  settle(value);
  exchange.hasAnswered = true;
  if (exchange.isAnsweredByOthers) {
    exchange.isEnded = true;
    await endLate(exchange, reply, value);
    return reply;
  }
  if (value === undefined && isGone(reply)) await endWithoutClient(exchange, reply);
  return value;
}

/** A failure that comes after an answer was sent: the handler's own stands, and that of others does not. */
async function endFailed(exchange: RunExchange, error: unknown): Promise<void> {
  const { run, sentEarly, isAnsweredByOthers } = exchange;
  if (exchange.isEnded || !(isAnsweredByOthers || sentEarly !== undefined)) return;
  exchange.isEnded = true;
  if (sentEarly !== undefined) await run.end(sentEarly);
  else await endLateError(exchange, error);
}

/** A handler that has hijacked its reply, or written to the raw response, answers by itself. */
export function endIfTaken(exchange: RunExchange, reply: FastifyReply): void {
  if (exchange.isEnded || exchange.isAnsweredByOthers || exchange.sentEarly !== undefined) return;
  if (!reply.sent && !reply.raw.headersSent) return;
  // Somebody else has written to the raw response, and the handler is still at work.
  if (exchange.handler === "sending" && !exchange.hasRaw) {
    exchange.isAnsweredByOthers = true;
    return;
  }
  exchange.isEnded = true;
  exchange.run.endWith(reply.raw, exchange.before);
}

/** Longer than any handler should work on after its response is over. */
const GRACE_MS = 15 * 60_000;

/** Nobody knows whether a handler still works that answers by `reply.send`, and has not for so long. */
function endAfterGrace(exchange: RunExchange, reply: FastifyReply): void {
  const end = () => {
    if (exchange.isEnded || exchange.handler !== "sending") return;
    exchange.isEnded = true;
    void exchange.run.endOpen();
  };
  const wait = () => void setTimeout(end, GRACE_MS).unref();
  if (reply.raw.closed) wait();
  else reply.raw.once("close", wait);
}

/** When Fastify sends nothing for a handler that has answered no value. */
function isGone({ request }: FastifyReply): boolean {
  return request.raw.aborted || request.socket?.destroyed !== false;
}

async function endWithoutClient(exchange: RunExchange, reply: FastifyReply): Promise<void> {
  exchange.isEnded = true;
  const { status, headers } = headOf(reply);
  const kept = exchange.run.keptHeaders(exchange.before, headers);
  await exchange.run.end({ status, headers: kept, body: NOTHING });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}
