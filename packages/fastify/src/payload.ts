import { Readable } from "node:stream";
import { drain, isJson, mediaTypeOf, type StoredBody } from "@idemkit/http";
import type { FastifyReply } from "fastify";

/** A payload as it is kept, if it can be, and as it is to be sent. */
export interface Seen {
  readonly body?: StoredBody;
  readonly payload: unknown;
}

/** A web `Response` becomes the reply's own status, headers and body. */
export function unpacked(reply: FastifyReply, payload: unknown): unknown {
  if (!isWebResponse(payload)) return payload;
  reply.code(payload.status);
  for (const [name, value] of payload.headers) reply.header(name, value);
  return payload.body;
}

/** As Fastify tells it: it may come from another library's `fetch`. */
export function isWebResponse(payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === "[object Response]";
}

/**
 * Looks at what is about to be sent. Streams are read to their end first.
 *
 * @throws what a stream fails with
 */
export async function seenPayload(
  reply: FastifyReply,
  payload: unknown,
  maxBody: number,
): Promise<Seen> {
  if (payload === undefined || payload === null) return { body: { kind: "none" }, payload };
  if (typeof payload === "string") {
    const kind = isJson(mediaTypeOf(contentTypeOf(reply))) ? "json" : "text";
    return within(maxBody, Buffer.byteLength(payload), { kind, text: payload }, payload);
  }
  if (payload instanceof Uint8Array) {
    return within(maxBody, payload.length, { kind: "bytes", bytes: payload }, payload);
  }
  // Server-sent events have no end that could be waited for.
  if (mediaTypeOf(contentTypeOf(reply)) === "text/event-stream") return { payload };
  const stream = payload instanceof ReadableStream ? Readable.fromWeb(payload as never) : payload;
  if (!(stream instanceof Readable)) return { payload };
  const drained = await drain(stream, maxBody);
  if ("rest" in drained) return { payload: drained.rest };
  return { body: { kind: "bytes", bytes: drained.bytes }, payload: drained.bytes };
}

export function isStreaming(value: unknown): boolean {
  const { pipe, getReader } = value as { readonly pipe?: unknown; readonly getReader?: unknown };
  return typeof pipe === "function" || typeof getReader === "function";
}

/** A kept body as it was sent: text or bytes, which nothing serialises again. */
export function payloadOf(body: StoredBody): string | Buffer | undefined {
  switch (body.kind) {
    case "none":
    case "empty":
      return undefined;
    case "json":
    case "text":
      return body.text;
    case "bytes":
      return Buffer.from(body.bytes);
  }
}

function contentTypeOf(reply: FastifyReply): string {
  return String(reply.getHeader("content-type") ?? "");
}

function within(maxBody: number, bytes: number, body: StoredBody, payload: unknown): Seen {
  return bytes > maxBody ? { payload } : { body, payload };
}
