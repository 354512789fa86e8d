import { Readable } from "node:stream";
import { drain, type StoredBody } from "@idemkit/http";
import type { Context } from "koa";

/** What is kept of a body, and what is to be sent in place of a stream that was read for that. */
export interface Seen {
  readonly body?: StoredBody;
  readonly instead?: Buffer | Readable;
}

/**
 * What a handler has answered, as it is kept; or nothing where it cannot be. Streams are read to their
 * end.
 *
 * @param body a stream, if it is one, as the handler has set it
 * @throws what a stream fails with, or a TypeError where JSON cannot carry the body
 */
export async function seenBody(ctx: Context, body: unknown, maxBody: number): Promise<Seen> {
  if (body === undefined) return { body: { kind: "none" } };
  if (body === null) return { body: { kind: "empty" } };
  if (typeof body === "string") {
    return within(maxBody, Buffer.byteLength(body), { kind: "text", text: body });
  }
  if (Buffer.isBuffer(body)) {
    return within(maxBody, body.length, { kind: "bytes", bytes: body });
  }
  const stream = streamOf(body);
  if (stream === null) return { body: { kind: "bytes", bytes: Buffer.alloc(0) } };
  if (stream !== undefined) return await seenStream(ctx, stream, maxBody);
  const text: string | undefined = JSON.stringify(body);
  if (text === undefined) throw new TypeError("The body is nothing that JSON can carry.");
  return within(maxBody, Buffer.byteLength(text), {
    kind: isReadBack(text) ? "json" : "text",
    text,
  });
}

/** A replay gives outer middleware an object again, where that makes the same text. */
function isReadBack(text: string): boolean {
  const value: unknown = JSON.parse(text);
  return typeof value === "object" && value !== null && JSON.stringify(value) === text;
}

/** Sets another body for the same response: Koa would change its status and drop its length. */
export function sendInstead(ctx: Context, body: Buffer | Readable | undefined): void {
  if (body === undefined) return;
  const { status } = ctx;
  // HTTP/2 has none.
  const message = ctx.req.httpVersionMajor < 2 ? ctx.message : undefined;
  const hasType = ctx.res.hasHeader("content-type");
  const length = ctx.res.getHeader("content-length");
  ctx.body = body;
  ctx.status = status;
  if (message !== undefined) ctx.message = message;
  if (!hasType) ctx.remove("Content-Type");
  if (length !== undefined && !Buffer.isBuffer(body)) ctx.set("Content-Length", String(length));
}

/** The stream that a body is, `null` for a web response without one. */
function streamOf(body: unknown): Readable | null | undefined {
  if (body instanceof Readable) return body;
  if (body instanceof ReadableStream) return Readable.fromWeb(body as never);
  if (body instanceof Blob) return Readable.fromWeb(body.stream() as never);
  if (body instanceof Response) return body.body && Readable.fromWeb(body.body as never);
  const isOfOldKind = typeof (body as { readonly pipe?: unknown }).pipe === "function";
  return isOfOldKind ? new Readable().wrap(body as NodeJS.ReadableStream) : undefined;
}

async function seenStream(ctx: Context, stream: Readable, maxBody: number): Promise<Seen> {
  // Server-sent events have no end that could be waited for.
  if (ctx.response.is("text/event-stream") !== false) return { instead: stream };
  if (stream.errored) throw stream.errored;
  const drained = await drain(stream, maxBody);
  if ("rest" in drained) return { instead: drained.rest };
  const { bytes } = drained;
  return { body: { kind: "bytes", bytes }, instead: bytes };
}

function within(maxBody: number, bytes: number, body: StoredBody): Seen {
  return bytes > maxBody ? {} : { body };
}
