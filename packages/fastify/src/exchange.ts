import type { OutgoingHeaders, ProtectedRun, StoredBody, StoredResponse } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import { ownReply } from "./own-reply.ts";
import { unsentReply } from "./unsent-reply.ts";

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

/** What the handler itself has set. */
interface Own {
  status?: number;
  readonly headers: Record<string, OutgoingHeaders[string]>;
  serializer?: (payload: unknown) => string;
}

/** A request whose handler runs under its key. */
export class RunExchange {
  readonly as = "run";
  readonly run: ProtectedRun;
  /** The reply that everybody has but the handler. */
  readonly reply: FastifyReply;
  /** The reply with which the handler's answer goes through the hooks. What others send has theirs. */
  readonly carrier: FastifyReply;
  /** The headers that were there before the handler. */
  readonly before: OutgoingHeaders;
  readonly own: Own = { headers: {} };
  handler: HandlerState = "waiting";
  /** What the handler has returned or thrown, which Fastify is about to send for it. */
  returned: { readonly value: unknown } | undefined;
  /** Whether the handler itself has sent something, or is being answered for by what it returned. */
  hasAnswered = false;
  /** Whether the handler waits for its reply, or has returned it, to answer by it. */
  isAwaited = false;
  /** Whether the handler was told that its reply was sent, so that it will not send any more. */
  isToldSent = false;
  /** Whether the handler has asked for the raw response: it may have written to it. */
  hasRaw = false;
  /** What the response was like when the handler's answer began its way. */
  sentHead: Head | undefined;
  /** Whether somebody else has begun to answer: status and headers may be theirs from then on. */
  isDisturbed = false;
  /** Whether somebody else has answered. What the handler answers then is kept all the same. */
  isAnsweredByOthers = false;
  /** Whether an answer of the handler's is being read and written. */
  isCaptured = false;
  /** Whether its end was written, or is being written, or is about to be. */
  isEnded = false;
  /** An answer that gives the key back, sent while the handler still ran. */
  sentEarly: StoredResponse | undefined;
  readonly #send: FastifyReply["send"];
  #unsent: FastifyReply | undefined;

  /** @param send how the reply sends, but for what watches it */
  constructor(run: ProtectedRun, reply: FastifyReply, send: FastifyReply["send"]) {
    this.run = run;
    this.reply = reply;
    this.before = headOf(reply).headers;
    this.#send = send;
    // What is made of an error on its way, by an error handler say, goes on in its place.
    this.carrier = ownReply(this, (payload) => void this.send(payload));
  }

  /** Whether a response of the handler's is on its way or out, so that nothing else may be sent for it. */
  get isAnswered(): boolean {
    return this.hasAnswered || this.isEnded;
  }

  /** Whether somebody else answers or has answered, so that what the handler answers is kept alone. */
  get isInPlaceOfOthers(): boolean {
    return this.isDisturbed || this.isAnsweredByOthers;
  }

  /** Whether what goes through the hooks with this reply is the handler's. */
  isOwn(via: FastifyReply): boolean {
    return via === this.carrier || this.isUnsent(via);
  }

  /** Whether what goes through the hooks with this reply is kept, and goes nowhere. */
  isUnsent(via: FastifyReply): boolean {
    return via === this.#unsent;
  }

  /**
   * Sends what the handler has answered. Where somebody else has begun to, it is kept alone.
   *
   * @throws what a serializer throws
   */
  send(payload: unknown): FastifyReply {
    if (this.isInPlaceOfOthers) {
      this.#unsent ??= unsentReply(this);
      return this.#unsent.send(payload);
    }
    this.#send.call(this.carrier, payload);
    // Now, in the same turn, as Fastify gives it a type.
    this.sentHead = headOf(this.reply);
    return this.carrier;
  }

  /** Sends what others answer, or Fastify for the handler. */
  sendForOthers(payload: unknown): FastifyReply {
    if (this.returned === undefined || !Object.is(this.returned.value, payload)) {
      this.isDisturbed = true;
      return this.#send.call(this.reply, payload);
    }
    this.returned = undefined;
    try {
      return this.send(payload);
    } catch (error) {
      this.returned = { value: error };
      throw error;
    }
  }

  /** Writes the outcome, but where there is one already. */
  async end(write: (run: ProtectedRun) => Promise<void> | void): Promise<void> {
    if (this.isEnded) return;
    this.isEnded = true;
    await write(this.run);
  }
}

export type Exchange = ReplayExchange | RunExchange;

export function headOf(reply: FastifyReply): Head {
  return { status: reply.statusCode, headers: reply.getHeaders() as OutgoingHeaders };
}
