import { Readable } from "node:stream";
import {
  bytesBody,
  checkStatus,
  drain,
  type HeaderList,
  headerOf,
  jsonBody,
  mediaTypeOf,
  payloadOf,
  type StoredBody,
  type StoredResponse,
  textBody,
  unframed,
} from "@idemkit/http";
import type { FastifyReply } from "fastify";
import type { RecordedResponse } from "./recorder.ts";

/** A recorded response with its body as it is kept, and its payload, which is sent if no body is kept. */
export interface Seen {
  readonly response: StoredResponse;
  readonly payload: unknown;
}

/**
 * Looks at a response before it is committed. Streams are read to their end first.
 *
 * @throws the error that a stream fails with
 */
export async function seen(recorded: RecordedResponse, maxBytes: number): Promise<Seen> {
  const { status, headers, payload } = unpacked(recorded);
  const sized = unframed(headers);
  const whole = (body: StoredBody | undefined): Seen => ({
    response: { status, headers: sized, ...(body !== undefined && { body }) },
    payload,
  });
  if (payload === undefined || payload === null) return whole({ kind: "none" });
  if (typeof payload === "string") return whole(textBody(payload, maxBytes));
  if (ArrayBuffer.isView(payload)) {
    const { buffer, byteOffset, byteLength } = payload;
    return whole(bytesBody(new Uint8Array(buffer, byteOffset, byteLength), maxBytes));
  }
  const stream = streamOf(payload);
  if (stream === undefined) return whole(jsonBody(payload, maxBytes));
  // Server-sent events have no end that could be waited for.
  if (mediaTypeOf(headerOf(headers, "content-type")) === "text/event-stream")
    return whole(undefined);
  const drained = await drain(stream, maxBytes);
  if ("rest" in drained) return { response: { status, headers }, payload: drained.rest };
  const body = { kind: "bytes", bytes: drained.bytes } as const;
  return { response: { status, headers: sized, body }, payload: drained.bytes };
}

/**
 * Sends a response, the first or a replay. Returns what Fastify is to send: the rest of the way is its own,
 * so that the application's hooks and serializers run anew for each.
 */
export function respond(
  reply: FastifyReply,
  { status, headers, body }: StoredResponse,
  payload?: unknown,
): unknown {
  const sent = body === undefined ? payload : payloadOf(body);
  reply.code(status);
  for (const [name, value] of headers) {
    // Cookies are added to those of hooks.
    if (name !== "set-cookie" || value.length === 0) reply.removeHeader(name);
    if (typeof value === "string") reply.header(name, value);
    else if (value.length > 0) reply.header(name, [...value]);
  }
  return sent;
}

/** Sends a response of idemkit's own, as it is: `reply.serializer` may have been set for the handler's. */
export function respondOwn(reply: FastifyReply, response: StoredResponse): unknown {
  const sent = respond(reply, response);
  if (sent !== undefined) reply.serializer((text: unknown) => text as string);
  return sent;
}

/** A web `Response` is a status, headers and a body. */
function unpacked(recorded: RecordedResponse): RecordedResponse {
  const { payload } = recorded;
  if (Object.prototype.toString.call(payload) !== "[object Response]") return recorded;
  const { status, headers, body } = payload as Response;
  checkStatus(status);
  const own = new Map<string, HeaderList[number][1]>([...recorded.headers, ...headers]);
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) own.set("set-cookie", cookies);
  return { kind: "response", status, headers: [...own], payload: body };
}

/** Some handlers send streams of other libraries, or of the oldest kind. */
function streamOf(payload: unknown): AsyncIterable<unknown> | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  if (payload instanceof ReadableStream) return Readable.fromWeb(payload as never);
  const { pipe } = payload as { readonly pipe?: unknown };
  if (typeof pipe !== "function") return undefined;
  return Symbol.asyncIterator in payload
    ? (payload as AsyncIterable<unknown>)
    : new Readable().wrap(payload as NodeJS.ReadableStream);
}
