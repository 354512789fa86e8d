import type { OutgoingHeaders, ProtectedRun, StoredBody, StoredResponse } from "@idemkit/http";

import type { FastifyReply } from "fastify";

/** How far the handler has got. One that answers by a callback cannot be seen to end. */
type HandlerState = "waiting" | "running" | "settled";

/** A request whose response is a kept one. */
export interface ReplayExchange {
  readonly as: "replay";
  readonly response: StoredResponse & { readonly body: StoredBody };
  readonly before: OutgoingHeaders;
}

/** A response's status and headers at one moment. */
export interface Head {
  readonly status: number;
  readonly headers: OutgoingHeaders;
}

export function headOf(reply: FastifyReply): Head {
  return { status: reply.statusCode, headers: { ...(reply.getHeaders() as OutgoingHeaders) } };
}

/** A request whose handler runs under its key. */
export interface RunExchange {
  readonly as: "run";
  readonly run: ProtectedRun;
  /** The headers that were there before the handler. */
  readonly before: OutgoingHeaders;
  handler: HandlerState;
  /** Whether its response has reached us. */
  isSeen: boolean;
  /** Status and headers before somebody's error took the place of the handler's answer. */
  beforeError?: Head;
  /** What was sent while the handler still ran, so that its outcome is yet to come. */
  sentEarly?: { readonly response: StoredResponse; readonly head: Head };
}

export type Exchange = ReplayExchange | RunExchange;
