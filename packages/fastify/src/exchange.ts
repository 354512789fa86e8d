import type { OutgoingHeaders, ProtectedRun, StoredBody, StoredResponse } from "@idemkit/http";
import type { FastifyReply } from "fastify";

/**
 * How far the handler has got:
 * - `waiting`: it has not been called
 * - `running`: its promise is open
 * - `sending`: it will answer by `reply.send`, at a moment that cannot be known
 * - `settled`: it has answered, or failed
 */
type HandlerState = "waiting" | "running" | "sending" | "settled";

/** A response's status and headers at one moment. */
export interface Head {
  readonly status: number;
  readonly headers: OutgoingHeaders;
}

/** A request whose response is a kept one. */
export interface ReplayExchange {
  readonly as: "replay";
  readonly response: StoredResponse & { readonly body: StoredBody };
  readonly before: OutgoingHeaders;
  /** Whether the kept response was put in place. What comes after that is an error on its way out. */
  isSubstituted: boolean;
}

/** A request whose handler runs under its key. */
export interface RunExchange {
  readonly as: "run";
  readonly run: ProtectedRun;
  /** The headers that were there before the handler. */
  readonly before: OutgoingHeaders;
  handler: HandlerState;
  /** Whether the handler itself has sent something, or is being answered for by what it returned. */
  hasAnswered: boolean;
  /** Whether the handler waits for its reply, or has returned it, to answer by it. */
  isAwaited: boolean;
  /** Whether the handler was told that its reply was sent, so that it will not send any more. */
  isToldSent: boolean;
  /** Whether the handler has asked for the raw response: it may have written to it. */
  hasRaw: boolean;
  /** Whether somebody else has begun to answer: status and headers may be theirs from then on. */
  isDisturbed: boolean;
  /** Whether somebody else has answered while the handler ran. What it does then is kept all the same. */
  isAnsweredByOthers: boolean;
  /** Whether its end was written, or is being written. */
  isEnded: boolean;
  /** What the handler itself has set. */
  readonly own: { status?: number; readonly headers: Record<string, OutgoingHeaders[string]> };
  /** An answer that gives the key back, sent while the handler still ran. */
  sentEarly?: StoredResponse;
}

export type Exchange = ReplayExchange | RunExchange;

export function runExchange(run: ProtectedRun, before: OutgoingHeaders): RunExchange {
  return {
    ...{ as: "run", run, before, handler: "waiting", own: { headers: {} } },
    ...{ hasAnswered: false, isAwaited: false, isToldSent: false },
    ...{ hasRaw: false },
    ...{ isDisturbed: false, isAnsweredByOthers: false, isEnded: false },
  };
}

export function headOf(reply: FastifyReply): Head {
  return { status: reply.statusCode, headers: { ...(reply.getHeaders() as OutgoingHeaders) } };
}
