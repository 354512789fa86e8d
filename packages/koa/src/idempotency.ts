import { Readable } from "node:stream";
import {
  type Answer,
  type HttpOptions,
  type IdempotencyState,
  isClosed,
  type OutgoingHeaders,
  type ProtectedRun,
  Protection,
  type StoredBody,
  type StoredResponse,
} from "@idemkit/http";
import type { Context, Middleware, Next } from "koa";
import { seenBody, sendInstead } from "./body.ts";
import { readBody } from "./request-body.ts";
import { Shield } from "./shield.ts";

/** As Koa tells it, which gives types only to what it can still send. */
const HTML = /^\s*</;
const HTML_TYPE = "text/html; charset=utf-8";

export interface KoaOptions extends HttpOptions<Context> {}

/** What is on `ctx.state` under a key. Without one, and with `onStoreError: 'bypass'`, it is missing. */
export interface IdempotentState {
  idempotency?: IdempotencyState;
}

/**
 * A middleware that runs a request once for each key and gives every duplicate the first response.
 *
 * Mount it inside whatever formats errors, sets request ids and CORS headers, compresses,
 * authenticates and parses bodies, and outside of the handlers: for the whole app, or for a route.
 *
 * @throws TypeError for an option that is none
 */
export function idempotency(options: KoaOptions): Middleware<IdempotentState> {
  const protection = new Protection<Context>(options);
  return async function idempotency(ctx, next) {
    if (!protection.isFor(ctx.method)) return await next();
    refuseTwice(ctx.state.idempotency);
    const report = (error: unknown) => ctx.app.emit("error", error, ctx);
    const entry = await protection.enter(ctx, {
      method: ctx.method,
      url: ctx.originalUrl,
      rawHeaders: ctx.req.rawHeaders,
      contentType: ctx.get("content-type"),
      readBody: (maxBody) => readBody(ctx, maxBody),
      report,
    });
    switch (entry.as) {
      case "pass":
        return await next();
      case "answer":
        return send(ctx, entry.answer);
      case "replay":
        ctx.state.idempotency = entry.state;
        return replay(ctx, entry.response, protection.replayHeader);
      case "rethrow":
        ctx.state.idempotency = entry.state;
        for (const [name, value] of entry.headers) setHeader(ctx, name, value);
        throw marked(ctx, entry.error, protection.replayHeader);
      case "run":
        ctx.state.idempotency = entry.run.state;
        return await run(ctx, next, entry.run);
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

async function run(ctx: Context, next: Next, protectedRun: ProtectedRun): Promise<void> {
  const before = headersNow(ctx);
  const kept = () => protectedRun.keptHeaders(before, headersNow(ctx));
  const shield = new Shield(ctx.response);
  try {
    await shield.run(next);
    const stream = shield.lift();
    if (ctx.respond === false) return protectedRun.endWith(ctx.res, before);
    if (shield.hasWritten) {
      // The handler has sent the headers by itself, and perhaps all of it.
      if (stream !== undefined) sendInstead(ctx, stream);
      return protectedRun.endWith(ctx.res, before);
    }
    // They are the handler's now. While a stream is read, somebody else may answer in its place.
    const head = { status: ctx.status, headers: kept() };
    if (isOfOthers(ctx, shield, protectedRun, head))
      return await endInPlace(ctx, shield, protectedRun);
    if (shield.isBodyOthers) stream?.destroy();
    const set = ctx.body;
    const isHeld = stream !== undefined && !shield.isBodyOthers;
    const { body, instead } = await seenBody(ctx, isHeld ? stream : set, protectedRun.maxBody);
    if (!ctx.headerSent && ctx.body === set) sendInstead(ctx, instead);
    else destroy(instead);
    await protectedRun.end({ ...head, ...(body && { body }) });
  } catch (error) {
    if (isUntold(ctx, shield, error)) await protectedRun.endUnseen();
    else await protectedRun.endThrown(error, kept());
    throw error;
  } finally {
    destroy(shield.lift());
  }
}

/**
 * Whether the response is somebody else's, as that of a time-out, which may be out or on its way still. A
 * handler may have set it in a context that was lost: then it is not taken for its own where that could
 * open the key, or make a failure of what was done.
 */
function isOfOthers(
  ctx: Context,
  { own, isStatusOthers }: Shield,
  protectedRun: ProtectedRun,
  head: Omit<StoredResponse, "body">,
): boolean {
  if (ctx.headerSent) return true;
  if (!isStatusOthers) return false;
  const hasOwn = own.status !== undefined || "body" in own;
  return hasOwn || head.status >= 500 || protectedRun.isGivenBackBy({ ...head, body: NOTHING });
}

const NOTHING = { kind: "none" } as const;

/** Says nothing of what the handler has done: it could not set it any more, or its stream was cut off. */
function isUntold(ctx: Context, { hasWritten, own }: Shield, error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  const isTooLate = ctx.headerSent && !hasWritten && code === "ERR_HTTP_HEADERS_SENT";
  // Koa destroys streams for clients that leave, but for those that are held back.
  const isCutOff = code === "ERR_STREAM_PREMATURE_CLOSE" && isClosed(ctx.res) && !("body" in own);
  return isTooLate || isCutOff;
}

/** Somebody has answered in the handler's place. What it has set itself is its outcome. */
async function endInPlace(
  ctx: Context,
  { own }: Shield,
  protectedRun: ProtectedRun,
): Promise<void> {
  if (own.status === undefined && !("body" in own)) return await protectedRun.endUnseen();
  const { body, instead } = await seenBody(ctx, own.body, protectedRun.maxBody);
  // Nobody will read what is left of a stream.
  destroy(instead);
  const isEmpty = own.body === null || own.body === undefined;
  const status = own.status ?? (isEmpty ? 204 : 200);
  const isHtml = typeof own.body === "string" && HTML.test(own.body);
  const headers = isHtml ? { "content-type": HTML_TYPE, ...own.headers } : own.headers;
  await protectedRun.endLate({ status, headers }, body);
}

function destroy(stream: unknown): void {
  if (stream instanceof Readable) stream.destroy();
}

function headersNow(ctx: Context): OutgoingHeaders {
  return ctx.res.getHeaders() as OutgoingHeaders;
}

function send(ctx: Context, { status, headers, body }: Answer): void {
  for (const [name, value] of Object.entries(headers)) ctx.set(name, value);
  ctx.body = body;
  ctx.status = status;
}

function replay(
  ctx: Context,
  { status, headers, body }: StoredResponse & { readonly body: StoredBody },
  replayHeader: readonly [string, string],
): void {
  for (const [name, value] of headers) setHeader(ctx, name, value);
  ctx.set(...replayHeader);
  const value = bodyToSend(body);
  if (value !== undefined) {
    const hasType = ctx.res.hasHeader("content-type");
    ctx.body = value;
    // Koa guesses a type where there is none, and there was none.
    if (!hasType) ctx.remove("Content-Type");
  }
  // Setting a body may have changed the status.
  ctx.status = status;
}

function bodyToSend(body: StoredBody): unknown {
  switch (body.kind) {
    case "none":
      return undefined;
    case "empty":
      return null;
    case "json":
      return JSON.parse(body.text);
    case "text":
      return body.text;
    case "bytes":
      return body.bytes;
  }
}

/** Koa drops all headers for an error but those that it brings along. */
function marked(ctx: Context, error: unknown, [name, value]: readonly [string, string]): unknown {
  ctx.set(name, value);
  if (error instanceof Error) {
    const { headers } = error as { readonly headers?: object };
    Object.assign(error, { headers: { ...headers, [name]: value } });
  }
  return error;
}

function setHeader(ctx: Context, name: string, value: string | readonly string[]): void {
  ctx.set(name, typeof value === "string" ? value : [...value]);
}
