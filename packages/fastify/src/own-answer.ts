import type { RunExchange } from "./exchange.ts";
import { endLate } from "./late.ts";

/**
 * The handler answers by `reply.send`.
 *
 * @returns whether nothing is to be sent: somebody else has answered, or the handler itself has
 */
export function answeredBySending(exchange: RunExchange, payload: unknown): boolean {
  if (exchange.handler === "sending") exchange.handler = "settled";
  if (exchange.hasAnswered) {
    exchange.reply.log.warn("The handler has sent something more after its answer.");
    return true;
  }
  exchange.hasAnswered = true;
  if (!exchange.isAnsweredByOthers) return false;
  void exchange.end(() => endLate(exchange, payload));
  return true;
}

/** The handler has taken the response away from Fastify. */
export function tookResponse(exchange: RunExchange): void {
  exchange.hasRaw = true;
  if (!exchange.isAnsweredByOthers && !exchange.reply.raw.closed) return;
  void exchange.end((run) => run.endUnseen());
}

/** A handler that is told that its reply was sent will not send any more, if it does not at once. */
export function toldSent(exchange: RunExchange): void {
  exchange.isToldSent = true;
  setImmediate(() => {
    if (exchange.handler === "sending") void exchange.end((run) => run.endUnseen());
  });
}

/** The handler has returned, and will answer by `reply.send`. */
export function sendsLater(exchange: RunExchange): void {
  exchange.handler = "sending";
  endAfterGrace(exchange);
}

/** Longer than any handler should work on after its response is over. */
const GRACE_MS = 15 * 60_000;

/** Nobody knows whether a handler still works that answers by `reply.send`, and has not for so long. */
function endAfterGrace(exchange: RunExchange): void {
  const { raw } = exchange.reply;
  const end = () => {
    if (exchange.handler === "sending") void exchange.end((run) => run.endOpen());
  };
  const wait = () => void setTimeout(end, GRACE_MS).unref();
  if (raw.closed) wait();
  else raw.once("close", wait);
}
