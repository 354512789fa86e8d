import { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { drain, peekBody } from "@idemkit/http";
import type { FastifyRequest, RequestPayload } from "fastify";
import type { RequestState } from "./request-state.ts";

/** Listens to a body that is being read. */
export function overhearBody(
  state: RequestState,
  { routeOptions: { bodyLimit: limit } }: FastifyRequest,
  payload: RequestPayload,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  payload.on("data", (chunk: Uint8Array | string) => {
    const bytes = Buffer.from(chunk as string);
    size += bytes.length;
    if (size <= limit) chunks.push(bytes);
  });
  payload.once("end", () => {
    if (size <= limit) state.body = { raw: Buffer.concat(chunks) };
  });
}

/** Reads a request's body. Returns the stream that its parser is to read. */
export async function keepBody(
  state: RequestState,
  { routeOptions: { bodyLimit: limit } }: FastifyRequest,
  payload: RequestPayload,
): Promise<RequestPayload> {
  if (payload instanceof IncomingMessage) {
    const raw = await peekBody(payload, limit);
    state.body = raw && { raw };
    return payload;
  }
  // Another hook has put a stream in its place, such as the unpacked form of a compressed one.
  const drained = await drain(payload as Readable, limit);
  if ("rest" in drained) return withLength(drained.rest, payload);
  state.body = { raw: drained.bytes };
  return withLength(Readable.from([drained.bytes], { objectMode: false }), payload);
}

/** Fastify compares it with Content-Length. */
function withLength(stream: Readable, { receivedEncodedLength }: RequestPayload): RequestPayload {
  return receivedEncodedLength === undefined
    ? stream
    : Object.assign(stream, { receivedEncodedLength });
}
