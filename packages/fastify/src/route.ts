import type { Guard, ProtectedRun, RequestBody, StoredResponse } from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  preParsingHookHandler,
  RequestPayload,
  RouteHandlerMethod,
  RouteOptions,
} from "fastify";
import { errorResponse, isFrameworkError } from "./errors.ts";
import { respond, type Seen, seen } from "./payload.ts";
import { Recorder } from "./recorder.ts";
import { bodyOf, keepBody, overhearBody } from "./request-body.ts";

/** On a request: the response that stands for the error which its handler throws to Fastify. */
export const ERROR_RESPONSE = Symbol("idemkit.errorResponse");

type Request = FastifyRequest & {
  [ERROR_RESPONSE]?: { readonly error: unknown; readonly seen: Seen } | undefined;
};

/**
 * A protected route: the key is claimed in its handler, so that nothing but the claim lets the handler run.
 * What the handler sends is recorded, committed, and only then sent, by the code that sends replays.
 */
export class ProtectedRoute {
  readonly #guard: Guard<FastifyRequest>;
  readonly #handler: RouteHandlerMethod;
  readonly #errorHandler: RouteOptions["errorHandler"];

  constructor(guard: Guard<FastifyRequest>, { handler, errorHandler }: RouteOptions) {
    this.#guard = guard;
    this.#handler = handler;
    this.#errorHandler = errorHandler;
  }

  /** Keeps the body as it was sent: it is compared before any parser has changed it. */
  readonly preParsing: preParsingHookHandler = (request, _reply, payload, done) => {
    if (!this.#guard.isFor(request.method) || isMultipart(request)) {
      done(null, payload);
    } else if (isFlowing(payload)) {
      // In this turn: what flows before its parser listens would be lost to it.
      overhearBody(request, payload);
      done(null, payload);
    } else {
      keepBody(request, payload).then((kept) => done(null, kept), done);
    }
  };

  get handler(): RouteHandlerMethod {
    const route = this;
    return function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      if (route.#guard.isFor(request.method)) return route.#handle(this, request, reply);
      return route.#handler.call(this, request, reply);
    };
  }

  /** Sends the response that was committed for an error. Other errors go their usual way. */
  get errorHandler(): NonNullable<RouteOptions["errorHandler"]> {
    const route = this;
    return function (this: FastifyInstance, error, request: Request, reply) {
      const made = request[ERROR_RESPONSE];
      if (made !== undefined && made.error === error) {
        const { response, payload } = made.seen;
        void reply.send(respond(reply, response, payload));
        return undefined as never;
      }
      if (route.#errorHandler === undefined) throw error;
      return route.#errorHandler.call(this, error, request, reply);
    };
  }

  async #handle(
    instance: FastifyInstance,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const admission = await this.#guard.admit(request, {
      method: request.method,
      url: request.originalUrl,
      rawHeaders: request.raw.rawHeaders,
      contentType: request.headers["content-type"],
      readBody: async () => read(request),
      report: (error) => request.log.error({ err: error }, "idempotency"),
    });
    switch (admission.kind) {
      case "pass":
        return await this.#unprotected(instance, request, reply);
      case "respond":
        if (admission.state !== undefined) request.idempotency = admission.state;
        return respond(reply, admission.response);
      case "rethrow":
        request.idempotency = admission.state;
        for (const [name, value] of admission.headers) void reply.header(name, value);
        throw admission.error;
      case "run":
        // Another plugin has responded while the store was asked, and its client is gone or served.
        if (reply.sent || reply.raw.headersSent) return await admission.run.abandon();
        request.idempotency = admission.run.state;
        return await this.#run(admission.run, instance, request, reply);
    }
  }

  /** A handler that returns nothing sends later. */
  async #unprotected(
    instance: FastifyInstance,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const returned: unknown = this.#handler.call(instance, request, reply);
    return returned === undefined ? reply : returned;
  }

  async #run(
    run: ProtectedRun,
    instance: FastifyInstance,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const recorder = new Recorder(reply);
    const done = recorder.run(() => this.#handler.call(instance, request, recorder.reply));
    const recorded = await recorder.recorded;
    if (recorded.kind === "error") return await this.#fail(run, recorded.error, recorder, request);
    if (recorded.kind === "taken") return await taken(run, reply, recorder);
    let made: Seen;
    try {
      made = await seen(recorded, run.maxBody);
    } catch (error) {
      return await this.#fail(run, error, recorder, request);
    }
    if (run.releases(made.response)) await done;
    const instead = await run.recordResponse(made.response);
    return respond(reply, instead ?? made.response, made.payload);
  }

  /** @throws the error, so that Fastify's hooks and subscribers learn of it */
  async #fail(
    run: ProtectedRun,
    error: unknown,
    recorder: Recorder,
    request: Request,
  ): Promise<unknown> {
    const { reply } = recorder;
    const failed = { request, reply: recorder.real, own: this.#errorHandler };
    const made = await seen(await errorResponse(error, recorder, failed), run.maxBody);
    const isFrameworks = isFrameworkError(error, request.server);
    const instead = await run.recordError(error, made.response, { isFrameworks });
    if (instead !== undefined) return respond(recorder.real, instead);
    request[ERROR_RESPONSE] = { error, seen: made };
    void reply;
    throw error;
  }
}

/** The response is out, or goes out by other means. The handler is done: it does not run again. */
async function taken(
  run: ProtectedRun,
  reply: FastifyReply,
  recorder: Recorder,
): Promise<unknown> {
  const { raw } = reply;
  if (!(raw.headersSent || raw.destroyed)) {
    await new Promise<void>((resolve) => raw.once("close", () => resolve()));
  }
  const { headers } = recorder;
  const seenHead: Partial<StoredResponse> = raw.headersSent ? { status: raw.statusCode, headers } : {};
  await run.recordUnseen(seenHead);
  return undefined;
}

/** @throws Error if another plugin has replaced the route's hooks, and ours with them */
function read(request: FastifyRequest): RequestBody | undefined {
  if (isMultipart(request)) return undefined;
  const kept = bodyOf(request);
  if (kept === undefined) {
    throw new Error(
      `The route ${request.routeOptions.url} asks for idempotency, and its preParsing hook is gone: ` +
        "a plugin has replaced the route's hooks instead of adding to them. The handler was not run.",
    );
  }
  // Node lets go of a body that was not read, and of nothing else.
  if (kept.body === undefined) request.raw.resume();
  return kept.body;
}

/** Whether another hook listens to it already. */
function isFlowing(payload: RequestPayload): boolean {
  return payload.readableFlowing === true || payload.listenerCount("data") > 0;
}

function isMultipart(request: FastifyRequest): boolean {
  return request.headers["content-type"]?.trim().toLowerCase().startsWith("multipart/") ?? false;
}
