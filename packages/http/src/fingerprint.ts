import { hash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";

/** A request's body as it came, or what somebody has made of it, where that is all there is. */
export type RequestBody =
  | { readonly raw: string | Uint8Array }
  /** What a parser made of a body whose text it did not keep. Numbers may have lost digits there. */
  | { readonly parsed: unknown };

/**
 * What makes a request the same as another one: method, path, query, media type and body, as one text
 * that the engine can take as payload.
 *
 * @param url path and query as the client sent them. The order of members with different names does
 *   not matter, that of those with the same name does
 */
export function requestFingerprint(request: {
  readonly method: string;
  readonly url: string;
  readonly mediaType: string;
  readonly body: RequestBody;
}): string {
  const { method, url, mediaType, body } = request;
  const [path, query] = splitOnce(url, "?");
  return JSON.stringify([
    method,
    path,
    sortedQuery(query),
    mediaType,
    ...contentOf(body, mediaType),
  ]);
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

/** Compared as it was sent: to decode it could make two queries one. */
function sortedQuery(query: string): string {
  const named = query.split("&").map((pair) => ({ name: splitOnce(pair, "=")[0], pair }));
  named.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
  return named.map(({ pair }) => pair).join("&");
}

function contentOf(body: RequestBody, mediaType: string): readonly [kind: string, digest: string] {
  if ("parsed" in body) {
    const text = JSON.stringify(body.parsed) ?? "";
    return ["parsed", hash("sha256", canonicalJson(text) ?? text, "hex")];
  }
  const canonical = isJson(mediaType) ? canonicalTextOf(body.raw) : undefined;
  if (canonical !== undefined) return ["json", hash("sha256", canonical, "hex")];
  return ["bytes", hash("sha256", body.raw, "hex")];
}

export function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.endsWith("+json");
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function canonicalTextOf(raw: string | Uint8Array): string | undefined {
  if (typeof raw === "string") return canonicalJson(raw);
  try {
    return canonicalJson(utf8.decode(raw));
  } catch {
    return undefined;
  }
}
