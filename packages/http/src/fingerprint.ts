import { hash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import type { ExcludedMembers } from "./fingerprint-option.ts";

/** A request's body as it came, or what somebody has made of it, where that is all there is. */
export type RequestBody =
  | { readonly raw: string | Uint8Array }
  /** What a parser made of a body whose text it did not keep. Numbers may have lost digits there. */
  | { readonly parsed: unknown };

/** It is hashed by the engine, which refuses what JSON cannot carry: that could hide a difference. */
export type RequestPayload = Readonly<Record<string, unknown>>;

/**
 * What makes a request the same as another one, as a payload for the engine: method, path, query, and what
 * stands for its body.
 *
 * @param url path and query as the client sent them. The order of members with different names does
 *   not matter, that of those with the same name does
 */
export function requestFingerprint(request: {
  readonly method: string;
  readonly url: string;
  readonly content: RequestPayload;
}): RequestPayload {
  const { method, url, content } = request;
  const [path, query] = splitOnce(url, "?");
  return { method, path, query: sortedQuery(query), ...content };
}

/**
 * The part of the body: its media type and its content.
 *
 * @param excluded members of a JSON body that are not compared. Those of a body that only its parser has are
 *   left out by the engine
 */
export function bodyFingerprint(
  whole: RequestBody,
  mediaType: string,
  excluded: ExcludedMembers | undefined,
): RequestPayload {
  const body = excluded === undefined ? whole : without(excluded, whole, mediaType);
  return { mediaType, ...contentOf(body, mediaType) };
}

/** The media type of a Content-Type, in lower case and without parameters. */
export function mediaTypeOf(contentType: string | undefined): string {
  return splitOnce(contentType ?? "", ";")[0]
    .trim()
    .toLowerCase();
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * Sorted by the names as an application reads them, so that members of one name keep their order. Compared
 * as it was sent: decoded, two queries could become one.
 */
function sortedQuery(query: string): string {
  if (!query.includes("&")) return query;
  // It skips pairs that are empty, and reads whatever was sent: nothing is thrown.
  const names = new URLSearchParams(`?${query}`).keys();
  const named = query.split("&").map((pair) => ({
    name: pair === "" ? "" : String(names.next().value),
    pair,
  }));
  named.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
  return named.map(({ pair }) => pair).join("&");
}

/** Other bodies than JSON are compared whole. */
function without(excluded: ExcludedMembers, body: RequestBody, mediaType: string): RequestBody {
  if (!("raw" in body && isJson(mediaType))) return body;
  const text = canonicalTextOf(body.raw, excluded);
  return text === undefined ? body : { raw: text };
}

function contentOf(body: RequestBody, mediaType: string): RequestPayload {
  if ("parsed" in body) return { parsed: body.parsed };
  const canonical = isJson(mediaType) ? canonicalTextOf(body.raw) : undefined;
  if (canonical !== undefined) return { json: hash("sha256", canonical, "hex") };
  return { bytes: hash("sha256", body.raw, "hex") };
}

function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.endsWith("+json");
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function canonicalTextOf(raw: string | Uint8Array, excluded?: ExcludedMembers): string | undefined {
  if (typeof raw === "string") return canonicalJson(raw, excluded);
  try {
    return canonicalJson(utf8.decode(raw), excluded);
  } catch {
    return undefined;
  }
}
