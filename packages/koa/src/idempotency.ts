import {
  destroyStream,
  errorRecord,
  Guard,
  type HeaderList,
  type HttpOptions,
  type IdempotencyState,
  isMadeBy,
  type ProtectedRun,
  statusOfError,
} from "@idemkit/http";
import type Application from "koa";
import type { Context, Middleware, Next } from "koa";
import { respond, type Seen, seen, setHeaders } from "./body.ts";
import { Recorder } from "./recorder.ts";
import { readBody } from "./request-body.ts";

export interface KoaOptions extends HttpOptions<Context> {}

/** The members of `ctx.state` under a key. Without one, and with `onStoreError: 'bypass'`, it is missing. */
export interface IdempotentState {
  idempotency?: IdempotencyState;
}

/**
 * A middleware that runs a request once for each key and gives every duplicate the first response.
 *
 * Mount it inside the middleware that formats errors, sets request ids and CORS headers, compresses,
 * authenticates and parses bodies, and outside of the handlers: for the whole app, or for a route.
 *
 * @throws TypeError for an option that is none
 */
export function idempotency(options: KoaOptions): Middleware<IdempotentState> {
  const guard = new Guard<Context>(options);
  return async function idempotency(ctx, next) {
    if (!guard.isFor(ctx.method)) return await next();
    refuseTwice(ctx.state.idempotency);
    const admission = await guard.admit(ctx, {
      method: ctx.method,
      url: ctx.originalUrl,
      rawHeaders: ctx.req.rawHeaders,
      contentType: ctx.get("content-type"),
      readBody: (maxBody) => readBody(ctx, maxBody),
      report: (error) => ctx.app.emit("error", error, ctx),
    });
    switch (admission.kind) {
      case "pass":
        return await next();
      case "respond":
        if (admission.state !== undefined) ctx.state.idempotency = admission.state;
        return respond(ctx, admission.response);
      case "rethrow":
        ctx.state.idempotency = admission.state;
        throw withHeaders(ctx, admission.error, admission.headers);
      case "run":
        // Another middleware has responded while the store was asked.
        if (ctx.headerSent) return await admission.run.abandon();
        ctx.state.idempotency = admission.run.state;
        return await run(admission.run, ctx, next);
    }
  };
}

/** The inner one would meet the claim of the outer one, and its 409 would be kept as the outcome. */
function refuseTwice(outer: IdempotencyState | undefined): void {
  if (outer === undefined) return;
  outer.release();
  throw new Error(
    "This request is protected twice: mount idempotency() once on the way to a handler, for the whole " +
      "app or for its route.",
  );
}

async function run(protectedRun: ProtectedRun, ctx: Context, next: Next): Promise<void> {
  const recorder = new Recorder(ctx);
  let made: Seen;
  try {
    await recorder.run(next);
    if (recorder.isTaken) return taken(protectedRun, ctx, recorder);
    if (recorder.isLost) return await protectedRun.recordUnseen();
    made = await seen(recorder, protectedRun.maxBody);
  } catch (error) {
    return await fail(protectedRun, ctx, recorder, error);
  }
  const instead = await protectedRun.recordResponse(made.response);
  // A response that another middleware has set meanwhile stays: this one is for the duplicates.
  if (recorder.isOvertaken) return destroyStream(made.body);
  recorder.raw.afterCommit();
  respond(ctx, instead?.response ?? made.response, made.body);
}

/** The response goes out by other means. Koa has nothing left to do, while the handler may go on writing. */
function taken(protectedRun: ProtectedRun, ctx: Context, { raw, response }: Recorder): void {
  // The headers alone were sent early, and Koa sends the body.
  if (ctx.respond !== false && response.body !== undefined) ctx.body = response.body;
  void raw.over().then(async () => {
    const head = { status: raw.statusWritten, headers: raw.headers };
    await protectedRun.recordUnseen(raw.isTaken ? head : {});
  });
}

/**
 * Koa's error handling is middleware around this one: it gets the error, and gets it again for a replay.
 *
 * @throws the error, unless its outcome was left open
 */
async function fail(
  protectedRun: ProtectedRun,
  ctx: Context,
  recorder: Recorder,
  error: unknown,
): Promise<void> {
  destroyStream(recorder.response.body);
  const { headers } = recorder;
  const status = statusOfError(error);
  const instead = await protectedRun.recordError(
    error,
    { status, headers, body: { kind: "none" } },
    {
      isFrameworks: isKoasError(error, ctx.app),
      keep: (kept, rules) => errorRecord(error, kept, status, rules),
    },
  );
  if (!recorder.isOvertaken) recorder.raw.afterCommit();
  if (instead === undefined) {
    if (!ctx.headerSent) setHeaders(ctx, headers);
    throw error;
  }
  if (recorder.isOvertaken) return;
  // The handler has failed before it wrote anything.
  ctx.respond = true;
  respond(ctx, instead.response);
}

/** An error that `ctx.throw` was given to decorate, or that an HTTP client throws, is not of this class. */
function isKoasError(error: unknown, app: Application): boolean {
  const { HttpError } = app.constructor as typeof Application;
  return isMadeBy(HttpError, error);
}

/** Koa drops all headers for an error but those that it brings along. */
function withHeaders(ctx: Context, error: unknown, headers: HeaderList): unknown {
  setHeaders(ctx, headers);
  const marks = Object.fromEntries(headers.slice(-1));
  if (error instanceof Error) {
    const { headers: own } = error as { readonly headers?: object };
    Object.assign(error, { headers: { ...own, ...marks } });
  }
  return error;
}
