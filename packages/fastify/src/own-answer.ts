import { isClosed } from "@idemkit/http";
import type { RunExchange } from "./exchange.ts";

/** The handler answers by `reply.send`. */
export function answerBySending(exchange: RunExchange, payload: unknown): void {
  if (exchange.hasAnswered) {
    exchange.reply.log.warn("The handler has sent something more after its answer.");
    return;
  }
  const { handler } = exchange;
  if (handler === "sending") exchange.handler = "settled";
  exchange.hasAnswered = true;
  try {
    exchange.send(payload);
  } catch (error) {
    // It has answered nothing, and hears of it.
    exchange.handler = handler;
    exchange.hasAnswered = false;
    throw error;
  }
}

/** Keeps what the handler has returned or thrown, where somebody else has answered. */
export function keepUnsent(exchange: RunExchange, value: unknown): void {
  // It has set nothing that was noticed: what it meant to answer is not known.
  if (value === undefined && exchange.own.status === undefined) {
    void exchange.end((run) => run.endUnseen());
    return;
  }
  try {
    exchange.send(value);
  } catch (error) {
    void endThrown(exchange, error);
  }
}

/** Keeps an error that Fastify's error handling is not asked for. */
export async function endThrown(exchange: RunExchange, error: unknown): Promise<void> {
  await exchange.end((run) => run.endThrown(error, run.keptHeaders({}, exchange.own.headers)));
}

/** The handler has taken the response away from Fastify. */
export function tookResponse(exchange: RunExchange): void {
  exchange.hasRaw = true;
  if (!exchange.isAnsweredByOthers && !isClosed(exchange.reply.raw)) return;
  void exchange.end((run) => run.endUnseen());
}

/** A handler that is told that its reply was sent will not send any more, if it does not at once. */
export function toldSent(exchange: RunExchange): void {
  exchange.isToldSent = true;
  setImmediate(() => {
    if (exchange.handler === "sending") void exchange.end((run) => run.endUnseen());
  });
}

/** Longer than any handler should work on after its response is over. */
const HANDLER_GRACE_MS = 15 * 60_000;
/** Longer than hooks and error handlers should work on what it has answered. */
const HOOKS_GRACE_MS = 10_000;

/**
 * Ends what is open long after its response is over. Nobody knows whether a handler still works that
 * answers by `reply.send`, and has not. One that has answered is done, though its answer was lost in a hook.
 */
export function endAfterGrace(exchange: RunExchange): void {
  const { handler } = exchange;
  if (exchange.isEnded || handler === "running") return;
  const isOpen = handler === "sending";
  const graceMs = isOpen ? HANDLER_GRACE_MS : HOOKS_GRACE_MS;
  setTimeout(() => {
    if (exchange.isEnded || exchange.handler === "running") return;
    if (exchange.handler !== handler) endAfterGrace(exchange);
    else void exchange.end((run) => (isOpen ? run.endOpen() : run.endUnseen()));
  }, graceMs).unref();
}
