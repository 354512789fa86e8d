import {
  type Answer,
  type HttpOptions,
  headersSince,
  type IdempotencyState,
  type OutgoingHeaders,
  type ProtectedRun,
  Protection,
  type StoredBody,
  type StoredResponse,
  typeOf,
} from "@idemkit/http";
import type { Context, Middleware, Next } from "koa";
import { seenBody, sendInstead } from "./body.ts";
import { readBody } from "./request-body.ts";
import { type Shield, shield } from "./shield.ts";

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

async function run(ctx: Context, next: Next, protectedRun: ProtectedRun): Promise<void> {
  const { headerRules, maxBody } = protectedRun;
  const headersNow = () => ({ ...(ctx.res.getHeaders() as OutgoingHeaders) });
  const before = headersNow();
  const shielded = shield(ctx.response);
  try {
    await next();
    if (ctx.respond === false) return protectedRun.endWith(ctx.res);
    // Somebody has answered while the handler still ran: a time-out, say.
    if (ctx.headerSent) return await endLate(ctx, shielded, protectedRun);
    const stream = shielded.lift();
    const { body, instead } = await seenBody(ctx, stream ?? ctx.body, maxBody);
    if (instead !== undefined) sendInstead(ctx, instead);
    const headers = headersSince(before, headersNow(), headerRules);
    await protectedRun.end({ status: ctx.status, headers, ...(body && { body }) });
  } catch (error) {
    await protectedRun.endThrown(error, headersSince(before, headersNow(), headerRules));
    throw error;
  } finally {
    shielded.lift()?.destroy();
  }
}

/** What a handler has answered too late is its outcome all the same, where all of it can be told. */
async function endLate(ctx: Context, shielded: Shield, protectedRun: ProtectedRun): Promise<void> {
  const { status, headers } = shielded.late;
  if (status === undefined) return await protectedRun.endUnseen();
  const stream = shielded.lift();
  const { body } = await seenBody(ctx, stream ?? ctx.body, protectedRun.maxBody);
  const kept = headersSince({}, headers, protectedRun.headerRules);
  const type = body && !("content-type" in headers) ? typeOf(body) : undefined;
  await protectedRun.end({
    status,
    headers: type === undefined ? kept : [...kept, ["content-type", type]],
    ...(body && { body }),
  });
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
    ctx.body = value;
    // Koa guesses a type where there is none, and there was none.
    if (!headers.some(([name]) => name === "content-type")) ctx.remove("Content-Type");
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
