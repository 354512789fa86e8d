import { StatusEndpoint, type StatusOptions } from "@idemkit/http";
import type {
  FastifyReply,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RouteGenericInterface,
} from "fastify";
import { respondOwn } from "./payload.ts";

export interface FastifyStatusOptions extends StatusOptions<FastifyRequest> {}

/**
 * A handler for `GET …/:key` that tells what has become of a key: declare it behind your own
 * authentication. Its route needs a parameter named `key`.
 *
 * @throws TypeError for an option that is none
 */
export function idempotencyStatus(options: FastifyStatusOptions) {
  const endpoint = new StatusEndpoint<FastifyRequest>(options);
  return async function idempotencyStatus<Server extends RawServerBase>(
    asked: FastifyRequest<RouteGenericInterface, Server, RawRequestDefaultExpression<Server>>,
    answering: FastifyReply<
      RouteGenericInterface,
      Server,
      RawRequestDefaultExpression<Server>,
      RawReplyDefaultExpression<Server>
    >,
  ) {
    // The same for HTTP/1.1 and HTTP/2, which Fastify's types keep apart.
    const [request, reply] = [asked, answering] as unknown as [FastifyRequest, FastifyReply];
    const { key } = request.params as { readonly key?: string };
    if (key === undefined) throw new TypeError("The route of a status needs a parameter `:key`.");
    const report = (error: unknown) => request.log.error({ err: error }, "idempotency");
    return respondOwn(reply, await endpoint.answer(request, key, report));
  };
}
