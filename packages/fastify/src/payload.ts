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
function isWebResponse(payload: unknown): payload is Response {
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
  contentType: string,
): Promise<Seen> {
  if (payload === undefined || payload === null) return { body: { kind: "none" }, payload };
  if (typeof payload === "string") {
    const kind = isJson(mediaTypeOf(contentType)) ? "json" : "text";
    return within(maxBody, Buffer.byteLength(payload), { kind, text: payload }, payload);
  }
  if (payload instanceof Uint8Array) {
    return within(maxBody, payload.length, { kind: "bytes", bytes: payload }, payload);
  }
  // Server-sent events have no end that could be waited for.
  if (mediaTypeOf(contentType) === "text/event-stream") return { payload };
  const stream = streamOf(payload);
  if (stream === undefined) return { payload };
  const drained = await drain(stream, maxBody);
  if ("rest" in drained) return { payload: drained.rest };
  // It has a length now, and must not have both.
  reply.removeHeader("transfer-encoding");
  return { body: { kind: "bytes", bytes: drained.bytes }, payload: drained.bytes };
}

/** Some have streams of other libraries, or of the oldest kind. */
function streamOf(payload: object): AsyncIterable<unknown> | undefined {
  if (payload instanceof ReadableStream) return Readable.fromWeb(payload as never);
  if (Symbol.asyncIterator in payload) return payload as AsyncIterable<unknown>;
  const { pipe } = payload as { readonly pipe?: unknown };
  return typeof pipe === "function"
    ? new Readable().wrap(payload as NodeJS.ReadableStream)
    : undefined;
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

function within(maxBody: number, bytes: number, body: StoredBody, payload: unknown): Seen {
  return bytes > maxBody ? { payload } : { body, payload };
}
