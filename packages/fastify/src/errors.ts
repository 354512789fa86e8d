import { STATUS_CODES } from "node:http";
import { FastifyError } from "@fastify/error";
import { isMadeBy, statusOfError } from "@idemkit/http";
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from "fastify";
import { type RecordedResponse, Recorder } from "./recorder.ts";

type ErrorHandler = NonNullable<RouteOptions["errorHandler"]>;

/** How many applications may be nested in each other. */
const CONTEXTS_MAX = 1_000;

/**
 * The response that the application's error handling makes from an error of a handler: that of the route,
 * then those of the contexts around it, each with the error of the one before, as Fastify asks them. The last is
 * Fastify's own, which logs the error and sends it on.
 *
 * @param handler the status and headers that the handler has set before it threw
 * @returns the response, or the error handler that has taken it away from Fastify
 */
export async function errorResponse(
  error: unknown,
  handler: Recorder,
  { request, reply, own }: Failed,
): Promise<RecordedResponse | Recorder> {
  const handlers = [...(own === undefined ? [] : [own]), ...handlersAround(request.server)];
  let last = error;
  let before = handler;
  for (const each of handlers) {
    const recorder = new Recorder(reply, before);
    const call = () => each.call(request.server, last as never, request, recorder.reply);
    void recorder.run(call);
    const recorded = await recorder.recorded;
    recorder.wasSeen();
    if (recorded.kind === "response") return recorded;
    if (recorded.kind === "taken") return recorder;
    // Fastify's own sets the status of the error, as it does not see that one is set.
    const isPassedOn = Object.is(recorded.error, last) && recorder.status === statusOfError(last);
    if (!isPassedOn) before = recorder;
    last = recorded.error;
  }
  return byFastify(last, before, reply);
}

export interface Failed {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** The route's own error handler. */
  readonly own: ErrorHandler | undefined;
}

function handlersAround(server: FastifyInstance): readonly ErrorHandler[] {
  const handlers: ErrorHandler[] = [];
  // A context inherits from the one around it.
  let context: FastifyInstance | null = server;
  for (let depth = 0; context?.errorHandler !== undefined && depth < CONTEXTS_MAX; depth += 1) {
    const { errorHandler } = context;
    if (!handlers.includes(errorHandler)) handlers.push(errorHandler);
    context = Object.getPrototypeOf(context) as FastifyInstance | null;
  }
  return handlers;
}

/** What Fastify makes of an error that no error handler has responded to. */
export function byFastify(error: unknown, before: Recorder, reply: FastifyReply): RecordedResponse {
  const { status: own = 200 } = before;
  const status = own === 200 ? statusOfError(error) : own;
  const {
    message,
    code,
    headers = {},
  } = (error ?? {}) as {
    readonly message?: string;
    readonly code?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  };
  const recorder = new Recorder(reply, before);
  recorder.reply.code(status).headers(headers);
  const payload = {
    statusCode: status,
    ...(code !== undefined && { code: String(code) }),
    error: STATUS_CODES[status],
    message,
  };
  return { kind: "response", status, headers: recorder.headers, payload };
}

/**
 * Whether Fastify's own class of errors, or that of `@fastify/sensible`, has made it. An error of an HTTP
 * client has a status as well, but speaks of another request.
 */
export function isFrameworkError(error: unknown, server: FastifyInstance): boolean {
  try {
    if (error instanceof FastifyError) return true;
  } catch {
    // A proxy, or a getter, that throws itself.
    return false;
  }
  const { httpErrors } = server as { readonly httpErrors?: { readonly HttpError?: unknown } };
  return isMadeBy(httpErrors?.HttpError, error);
}
