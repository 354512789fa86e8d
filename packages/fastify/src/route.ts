import {
  destroyStream,
  type Guard,
  type Instead,
  isMadeBy,
  mediaTypeOf,
  type ProtectedRun,
} from "@idemkit/http";
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  preParsingHookHandler,
  RequestPayload,
  RouteHandlerMethod,
  RouteOptions,
} from "fastify";
import { byFastify, errorResponse, isFrameworkError } from "./errors.ts";
import { respond, respondOwn, type Seen, seen } from "./payload.ts";
import { Recorder } from "./recorder.ts";
import { keepBody, overhearBody } from "./request-body.ts";
import { RequestState, STATE, stateOf } from "./request-state.ts";

/**
 * A protected route: the key is claimed in its handler, so that nothing but the claim lets the handler run.
 * The handler's response is recorded, committed, and only then sent, by the code that sends replays.
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
  readonly preParsing: preParsingHookHandler = (request, reply, payload, done) => {
    if (!this.#guard.isFor(request.method)) return done(null, payload);
    const state = new RequestState(reply);
    Object.assign(request, { [STATE]: state });
    if (isMultipart(request)) return done(null, payload);
    if (!isFlowing(payload)) {
      keepBody(state, request, payload).then((kept) => done(null, kept), done);
      return;
    }
    // In this turn: bytes that flow before its parser listens would be lost to it.
    overhearBody(state, request, payload);
    done(null, payload);
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
    return function (this: FastifyInstance, error, request, reply) {
      const { [STATE]: state } = request as { readonly [STATE]?: RequestState };
      const made = state?.errorResponse;
      if (made !== undefined && Object.is(made.error, error)) {
        const { response, payload } = made.seen;
        void reply.send(respond(reply, response, payload));
        return undefined as never;
      }
      const own = route.#errorHandler;
      if (own !== undefined) return own.call(this, error, request, reply);
      // What an error handler throws is the payload of a response if it is no Error.
      if (!isMadeBy(Error, error)) return request.server.errorHandler(error, request, reply);
      throw error;
    };
  }

  async #handle(
    instance: FastifyInstance,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const state = stateOf(request);
    const admission = await this.#guard.admit(request, {
      method: request.method,
      url: request.originalUrl,
      rawHeaders: request.raw.rawHeaders,
      contentType: request.headers["content-type"],
      readBody: async () => state.body ?? unread(request),
      report: (error) => request.log.error({ err: error }, "idempotency"),
    });
    switch (admission.kind) {
      case "pass":
        return await this.#unprotected(instance, request, reply);
      case "respond":
        if (admission.state !== undefined) request.idempotency = admission.state;
        if (hasResponse(state, reply)) return reply;
        return admission.state === undefined
          ? respondOwn(reply, admission.response)
          : respond(reply, admission.response);
      case "rethrow":
        request.idempotency = admission.state;
        for (const [name, value] of admission.headers) void reply.header(name, value);
        throw admission.error;
      case "run":
        // Another plugin has responded while the store was asked.
        if (hasResponse(state, reply)) {
          await admission.run.abandon();
          return reply;
        }
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
    const state = stateOf(request);
    const recorder = new Recorder(reply);
    const done = recorder.run(() => this.#handler.call(instance, request, recorder.reply));
    const recorded = await recorder.recorded;
    if (recorded.kind === "taken") {
      recorder.wasSeen();
      return await taken(run, recorder);
    }
    let made: Seen;
    try {
      if (recorded.kind === "error") throw recorded.error;
      made = await seen(recorded, run.maxBody);
      recorder.wasSeen();
    } catch (error) {
      recorder.wasSeen();
      // An error may give the key back, and nothing may run beside the rest of the handler.
      await done;
      return await this.#fail(run, error, recorder, request);
    }
    const instead = await run.recordResponse(made.response, done);
    if (!hasResponse(state, reply)) {
      if (instead === undefined) {
        recorder.afterCommit();
        return respond(reply, made.response, made.payload);
      }
      destroyStream(made.payload);
      return respondInstead(reply, instead);
    }
    // A response that another plugin sends stays: this one is for the duplicates.
    destroyStream(made.payload);
    return reply;
  }

  /** A response of an error handler whose stream breaks is replaced by that which Fastify makes of its error. */
  async #seenErrorResponse(
    error: unknown,
    recorder: Recorder,
    request: FastifyRequest,
    maxBody: number,
  ): Promise<Seen> {
    const { real: reply } = recorder;
    const failed = { request, reply, own: this.#errorHandler };
    try {
      const made = await errorResponse(error, recorder, failed);
      return made instanceof Recorder ? await takenByErrorHandler(made) : await seen(made, maxBody);
    } catch (broken) {
      const own = new Error("The response of an error handler failed.", { cause: broken });
      request.log.error({ err: own }, own.message);
      return await seen(byFastify(own, recorder, reply), maxBody);
    }
  }

  /** @throws the error, so that Fastify's hooks and subscribers learn of it */
  async #fail(
    run: ProtectedRun,
    error: unknown,
    recorder: Recorder,
    request: FastifyRequest,
  ): Promise<unknown> {
    const state = stateOf(request);
    const { real: reply } = recorder;
    const made = await this.#seenErrorResponse(error, recorder, request, run.maxBody);
    const isFrameworks = isFrameworkError(error, request.server);
    const instead = await run.recordError(error, made.response, { isFrameworks });
    if (hasResponse(state, reply)) {
      request.log.error({ err: error }, "The handler failed after another response was sent.");
      destroyStream(made.payload);
      if (recorder.isWriting) reply.raw.destroy();
      return reply;
    }
    recorder.afterCommit();
    if (instead !== undefined) {
      destroyStream(made.payload);
      return respondInstead(reply, instead);
    }
    state.errorResponse = { error, seen: made };
    throw error;
  }
}

function respondInstead(reply: FastifyReply, { kind, response }: Instead): unknown {
  return kind === "problem" ? respondOwn(reply, response) : respond(reply, response);
}

/**
 * Whether another plugin has responded, or is about to. Then the reply itself is returned to Fastify, which
 * otherwise sends a second response.
 */
function hasResponse(state: RequestState, { sent, raw }: FastifyReply): boolean {
  return state.isResponding || sent || raw.headersSent;
}

/** An error handler writes its response itself, which is not seen. */
async function takenByErrorHandler({ raw }: Recorder): Promise<Seen> {
  await raw.over();
  return { response: { status: raw.statusWritten, headers: raw.headers }, payload: undefined };
}

/** The response goes out by other means. Once that is over the handler is done: it does not run again. */
async function taken(run: ProtectedRun, { raw }: Recorder): Promise<undefined> {
  await raw.over();
  const head = { status: raw.statusWritten, headers: raw.headers };
  await run.recordUnseen(raw.isTaken ? head : {});
  return undefined;
}

/** Node lets go of a body that was not read, and of nothing else. */
function unread(request: FastifyRequest): undefined {
  if (!isMultipart(request)) request.raw.resume();
  return undefined;
}

/** Whether another hook listens to it already. */
function isFlowing(payload: RequestPayload): boolean {
  return payload.readableFlowing === true || payload.listenerCount("data") > 0;
}

function isMultipart(request: FastifyRequest): boolean {
  return mediaTypeOf(request.headers["content-type"]).startsWith("multipart/");
}
