import type { RequestBody } from "@idemkit/http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Seen } from "./payload.ts";

/** The member of a request that holds its state. */
export const STATE = Symbol("idemkit.state");

/** The state of one request to a protected route. Its handler runs only if there is one. */
export class RequestState {
  /** The body as it came, which Fastify's parsers do not keep. Missing if it is larger than `bodyLimit`. */
  body: RequestBody | undefined;
  /** The response that stands for an error, which the handler throws so that Fastify's hooks learn of it. */
  errorResponse: { readonly error: unknown; readonly seen: Seen } | undefined;
  #isResponding = false;

  constructor(reply: FastifyReply) {
    const { send } = reply;
    // Fastify shows a response as sent once it is written: not while slow onSend hooks work on it.
    reply.send = (payload?: unknown) => {
      this.#isResponding = true;
      return send.call(reply, payload);
    };
  }

  /** Whether a response is on its way, or out, by the real reply. */
  get isResponding(): boolean {
    return this.#isResponding;
  }
}

/** @throws Error if another plugin has replaced the route's hooks, and ours with them */
export function stateOf(request: FastifyRequest): RequestState {
  const { [STATE]: state } = request as { readonly [STATE]?: RequestState };
  if (state !== undefined) return state;
  throw new Error(
    `The route ${request.routeOptions.url} asks for idempotency, and its preParsing hook is gone: a plugin ` +
      "has replaced the route's hooks instead of adding to them. The handler was not run.",
  );
}
