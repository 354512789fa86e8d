import { shown } from "@idemkit/engine/model";
import { checkHeaders, type HeaderList, type HeaderValue } from "./headers.ts";

/**
 * A body as it is kept: before the application's own hooks and serializers, which run for a replay as they
 * run for the first response. `none`: the handler has set no body; `empty`: it has set it to nothing.
 */
export type StoredBody =
  | { readonly kind: "none" | "empty" }
  | { readonly kind: "json"; readonly value: unknown }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

/** The first response to a key, as every duplicate gets it. */
export interface StoredResponse {
  readonly status: number;
  readonly headers: HeaderList;
  /** Missing in a stub: the operation is done, and its response could not be kept. */
  readonly body?: StoredBody;
}

/** A response that a binding can send. */
export interface Sendable extends StoredResponse {
  readonly body: StoredBody;
}

/** How a response stands in its record. The member distinguishes it from other values. */
interface Kept {
  readonly httpResponse: 1;
  readonly status: number;
  readonly headers: HeaderList;
  readonly body?: {
    readonly kind: StoredBody["kind"];
    readonly value?: unknown;
    readonly text?: string;
    readonly base64?: string;
  };
}

/**
 * The value that stands for a response in its record: for the engine's `settle` and `reconcile`, where
 * an outcome that was found out becomes the response to duplicates.
 *
 * @param response its status is 200 to 599; without a body it is a stub
 * @throws TypeError for what could not be sent: a decision stands, and cannot be mended afterwards
 */
export function encodeResponse(response: StoredResponse): Kept {
  const { status, headers, body } = response;
  checkStatus(status);
  if (!Array.isArray(headers)) throw new TypeError("headers: expected a list of [name, value].");
  checkHeaders(headers);
  if (body !== undefined) checkBody(body);
  return keptOf(response);
}

/** @throws TypeError for a status that is not a final one */
export function checkStatus(status: unknown): asserts status is number {
  if (Number.isInteger(status) && Number(status) >= 200 && Number(status) <= 599) return;
  throw new TypeError(`status: expected a number from 200 to 599, got ${shown(status)}.`);
}

function checkBody(body: StoredBody): void {
  if (decodeBody(encodeBody(body)) === undefined) {
    const expected =
      "{ kind: 'json', value }, { kind: 'text', text }, { kind: 'bytes', bytes } or { kind: 'none' }";
    throw new TypeError(`body: expected ${expected}.`);
  }
  if (body.kind === "json" && JSON.stringify(body.value) === undefined) {
    throw new TypeError("body.value: expected a value that JSON can carry.");
  }
}

/** As {@link encodeResponse}, for what a framework was about to send. */
export function keptOf({ status, headers, body }: StoredResponse): Kept {
  const kept = { httpResponse: 1, status, headers } as const;
  return body === undefined ? kept : { ...kept, body: encodeBody(body) };
}

function encodeBody(body: StoredBody): NonNullable<Kept["body"]> {
  switch (body.kind) {
    case "json":
      return { kind: body.kind, value: body.value };
    case "text":
      return { kind: body.kind, text: body.text };
    case "bytes":
      return { kind: body.kind, base64: Buffer.from(body.bytes).toString("base64") };
    default:
      return { kind: body.kind };
  }
}

/** @returns nothing where the value is no response that {@link encodeResponse} has made */
export function decodeResponse(value: unknown): StoredResponse | undefined {
  const kept = value as Partial<Kept> | null | undefined;
  if (typeof kept !== "object" || kept === null || kept.httpResponse !== 1) return undefined;
  const { status, headers, body } = kept;
  if (!Number.isInteger(status) || !Array.isArray(headers)) return undefined;
  const response = { status: status as number, headers: headers as HeaderList };
  if (body === undefined) return response;
  const decoded = decodeBody(body);
  return decoded && { ...response, body: decoded };
}

function decodeBody(body: NonNullable<Kept["body"]>): StoredBody | undefined {
  const { kind, value, text, base64 } = body;
  switch (kind) {
    case "none":
    case "empty":
      return { kind };
    case "json":
      return "value" in body ? { kind, value } : undefined;
    case "text":
      return typeof text === "string" ? { kind, text } : undefined;
    case "bytes":
      return typeof base64 === "string"
        ? { kind, bytes: Buffer.from(base64, "base64") }
        : undefined;
    default:
      return undefined;
  }
}

/** One value of a header, by its name in lower case. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  const value: HeaderValue | undefined = headers.find(([each]) => each === name)?.[1];
  return typeof value === "string" ? value : value?.[0];
}

/**
 * The body that a value makes, as JSON carries it: the first response is sent from this copy, so that a
 * replay cannot differ from it.
 *
 * @returns nothing where it has more bytes than `maxBytes`, or JSON cannot carry it
 */
export function jsonBody(value: unknown, maxBytes: number): StoredBody | undefined {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    return undefined;
  }
  return text === undefined ? undefined : jsonTextBody(text, maxBytes);
}

/** As {@link jsonBody}, of a value that is written already. */
export function jsonTextBody(text: string, maxBytes: number): StoredBody | undefined {
  if (Buffer.byteLength(text) > maxBytes) return undefined;
  return { kind: "json", value: JSON.parse(text) };
}

/** The value that a framework sends for a body. */
export function payloadOf(body: StoredBody): unknown {
  switch (body.kind) {
    case "none":
    case "empty":
      return undefined;
    case "json":
      return body.value;
    case "text":
      return body.text;
    case "bytes":
      return Buffer.from(body.bytes.buffer, body.bytes.byteOffset, body.bytes.byteLength);
  }
}

export function textBody(text: string, maxBytes: number): StoredBody | undefined {
  return Buffer.byteLength(text) > maxBytes ? undefined : { kind: "text", text };
}

export function bytesBody(bytes: Uint8Array, maxBytes: number): StoredBody | undefined {
  return bytes.byteLength > maxBytes ? undefined : { kind: "bytes", bytes };
}
