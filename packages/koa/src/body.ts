import { Readable } from "node:stream";
import {
  bytesBody,
  drain,
  jsonTextBody,
  payloadOf,
  type StoredBody,
  type StoredResponse,
  textBody,
  unframed,
} from "@idemkit/http";
import type { Context, Response as KoaResponse } from "koa";
import type { Recorder } from "./recorder.ts";

/** A recorded response with its body as it is kept, and the body to send if none is kept. */
export interface Seen {
  readonly response: StoredResponse;
  readonly body: unknown;
}

/**
 * Looks at a handler's response before it is committed. Streams are read to their end first.
 *
 * @throws the error that a stream fails with; TypeError if JSON cannot carry the body
 */
export async function seen(recorder: Recorder, maxBytes: number): Promise<Seen> {
  const { response, raw } = recorder;
  raw.beforeCommit();
  const { headers } = recorder;
  const status = Number(response.status);
  const { body, instead = response.body } = await seenBody(response, maxBytes);
  if (body === undefined) return { response: { status, headers }, body: instead };
  return { response: { status, headers: unframed(headers), body }, body: instead };
}

interface SeenBody {
  readonly body?: StoredBody | undefined;
  /** In place of a stream that was read. */
  readonly instead?: unknown;
}

async function seenBody(response: KoaResponse, maxBytes: number): Promise<SeenBody> {
  const { body } = response;
  if (body === undefined) return { body: { kind: "none" } };
  if (body === null) return { body: { kind: "empty" } };
  if (typeof body === "string") return { body: textBody(body, maxBytes) };
  if (Buffer.isBuffer(body)) return { body: bytesBody(body, maxBytes) };
  const stream = streamOf(body);
  if (stream === null) return { body: { kind: "bytes", bytes: Buffer.alloc(0) } };
  if (stream !== undefined) return await seenStream(response, stream, maxBytes);
  const text: string | undefined = JSON.stringify(body);
  if (text === undefined) throw new TypeError("The body is not a value that JSON can carry.");
  const isObject = /^[[{]/.test(text);
  return { body: isObject ? jsonTextBody(text, maxBytes) : textBody(text, maxBytes) };
}

async function seenStream(
  response: KoaResponse,
  stream: Readable,
  maxBytes: number,
): Promise<SeenBody> {
  // Server-sent events have no end that could be waited for.
  if (response.is("text/event-stream") !== false) return { instead: stream };
  if (stream.errored) throw stream.errored;
  const drained = await drain(stream, maxBytes);
  if ("rest" in drained) return { instead: drained.rest };
  return { body: { kind: "bytes", bytes: drained.bytes } };
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

/** Sends a response, the first or a replay. */
export function respond(
  ctx: Context,
  { status, headers, body }: StoredResponse,
  otherwise?: unknown,
): void {
  const sent = body === undefined ? otherwise : bodyOf(body);
  setHeaders(ctx, headers);
  // Koa sets a type and a length with a body: those of the response are what counts.
  const type = ctx.res.getHeader("content-type");
  const length = ctx.res.getHeader("content-length");
  if (sent !== undefined) {
    ctx.body = sent;
    if (type === undefined) ctx.remove("Content-Type");
    if (length !== undefined && sent instanceof Readable) ctx.set("Content-Length", String(length));
  }
  // Setting a body may have changed the status.
  ctx.status = status;
}

/** One that has an empty list is removed. */
export function setHeaders(ctx: Context, headers: StoredResponse["headers"]): void {
  for (const [name, value] of headers) {
    if (typeof value !== "string" && value.length === 0) ctx.remove(name);
    else if (name === "set-cookie") ctx.append(name, [value].flat());
    else ctx.set(name, typeof value === "string" ? value : [...value]);
  }
}

/** Koa takes `null` for an empty body, and `undefined` for none that was set. */
function bodyOf(body: StoredBody): unknown {
  return body.kind === "empty" ? null : payloadOf(body);
}
