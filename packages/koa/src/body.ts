import { Readable } from "node:stream";
import { drain, type StoredBody } from "@idemkit/http";
import type { Context } from "koa";
import type { Shield } from "./shield.ts";

/**
 * What the handler has answered, as it is kept; or nothing where it is not. Streams are read to their
 * end, and what was read becomes the body.
 *
 * @throws what a stream fails with, or a TypeError where JSON cannot carry the body
 */
export async function bodyOf(
  ctx: Context,
  shield: Shield,
  maxBody: number,
): Promise<{ readonly body?: StoredBody }> {
  const stream = shield.lift();
  const body: unknown = ctx.body;
  if (stream !== undefined) return await ofStream(ctx, stream, maxBody);
  if (body === undefined) return { body: { kind: "none" } };
  if (body === null) return { body: { kind: "empty" } };
  if (typeof body === "string")
    return within(maxBody, Buffer.byteLength(body), { kind: "text", text: body });
  if (body instanceof Uint8Array)
    return within(maxBody, body.length, { kind: "bytes", bytes: body });
  if (body instanceof ReadableStream)
    return await ofStream(ctx, Readable.fromWeb(body as never), maxBody);
  if (body instanceof Blob)
    return await ofStream(ctx, Readable.fromWeb(body.stream() as never), maxBody);
  if (body instanceof Response) return await ofWebResponse(ctx, body, maxBody);
  const text: string | undefined = JSON.stringify(body);
  if (text === undefined) throw new TypeError("The body is nothing that JSON can carry.");
  return within(maxBody, Buffer.byteLength(text), { kind: "json", text });
}

async function ofWebResponse(ctx: Context, response: Response, maxBody: number) {
  if (response.body === null) return { body: { kind: "empty" } as const };
  return await ofStream(ctx, Readable.fromWeb(response.body as never), maxBody);
}

async function ofStream(
  ctx: Context,
  stream: Readable,
  maxBody: number,
): Promise<{ readonly body?: StoredBody }> {
  if (isEventStream(ctx)) {
    setBody(ctx, stream);
    return {};
  }
  if (stream.errored) throw stream.errored;
  const drained = await drain(stream, maxBody);
  if ("rest" in drained) {
    setBody(ctx, drained.rest);
    return {};
  }
  setBody(ctx, drained.bytes);
  return { body: { kind: "bytes", bytes: drained.bytes } };
}

/** Sets another body for the same response: Koa would change its status and drop its length. */
function setBody(ctx: Context, body: Buffer | Readable): void {
  const { status, message } = ctx;
  const length = ctx.response.get("Content-Length");
  ctx.body = body;
  ctx.status = status;
  ctx.message = message;
  if (length !== "" && !Buffer.isBuffer(body)) ctx.set("Content-Length", length);
}

/** Server-sent events have no end that could be waited for. */
function isEventStream(ctx: Context): boolean {
  return ctx.response.is("text/event-stream") !== false;
}

function within(maxBody: number, bytes: number, body: StoredBody): { readonly body?: StoredBody } {
  return bytes > maxBody ? {} : { body };
}
