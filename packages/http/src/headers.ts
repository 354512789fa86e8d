import { validateHeaderName, validateHeaderValue } from "node:http";

/** A header's value, or its values where it was set more than once. */
export type HeaderValue = string | readonly string[];

/** Names in lower case, with their values. */
export type HeaderList = readonly (readonly [name: string, value: HeaderValue])[];

/** Headers as Node's `getHeaders()` answers them. */
export type OutgoingHeaders = Readonly<
  Record<string, number | string | readonly string[] | undefined>
>;

/** Which of the headers that a handler has set are kept. */
export interface HeaderRules {
  /** Kept, although they are of a kind that is not. */
  readonly allow: ReadonlySet<string>;
  /** Not kept, beyond those that never are. */
  readonly deny: ReadonlySet<string>;
}

/** They belong to one connection, one caller or one answer, and would be wrong in another. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  // Hop by hop: RFC 9110, section 7.6.1.
  ...[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
  ],
  ...["content-length", "date", "age", "vary", "retry-after", "server-timing"],
  ...["set-cookie", "www-authenticate", "proxy-authenticate", "authentication-info"],
  ...["x-request-id", "request-id", "x-correlation-id", "correlation-id", "x-trace-id"],
  ...["traceparent", "tracestate", "traceresponse", "x-amzn-trace-id", "x-cloud-trace-context"],
  ...[
    "strict-transport-security",
    "content-security-policy",
    "content-security-policy-report-only",
  ],
  ...["x-content-type-options", "x-frame-options", "x-xss-protection", "referrer-policy"],
  ...["permissions-policy", "feature-policy", "origin-agent-cluster", "expect-ct", "nel"],
  ...["cross-origin-opener-policy", "cross-origin-embedder-policy", "cross-origin-resource-policy"],
  ...["x-dns-prefetch-control", "x-download-options", "x-permitted-cross-domain-policies"],
  ...["report-to", "reporting-endpoints", "timing-allow-origin"],
]);

const NOT_KEPT_PREFIXES = ["access-control-", "ratelimit", "x-ratelimit", "x-rate-limit", "x-b3-"];

/** The headers that were set or changed since `before`. One that was removed has an empty list. */
export function headersSince(before: OutgoingHeaders, after: OutgoingHeaders): HeaderList {
  const list: [string, HeaderValue][] = [];
  for (const name of Object.keys(after)) {
    const value = after[name];
    if (value === undefined || isSame(before[name], value)) continue;
    const own = name === "set-cookie" ? cookiesSince(before[name], value) : asValue(value);
    // An empty list would remove those of others.
    if (own.length > 0 || name !== "set-cookie") list.push([name.toLowerCase(), own]);
  }
  for (const name of Object.keys(before)) {
    if (after[name] === undefined) list.push([name.toLowerCase(), []]);
  }
  return list;
}

/** Cookies are added to those of others. */
function cookiesSince(
  before: OutgoingHeaders[string],
  after: number | string | readonly string[],
): readonly string[] {
  const others = new Set([before ?? []].flat().map(String));
  return [after]
    .flat()
    .map(String)
    .filter((cookie) => !others.has(cookie));
}

/** Those of a handler's headers that are kept: the rest belongs to one response alone. */
export function keptHeaders(list: HeaderList, rules: HeaderRules): HeaderList {
  const ofConnection = namesIn(list.find(([name]) => name === "connection")?.[1]);
  return list.filter(([name]) => !ofConnection.has(name) && isKept(name, rules));
}

/** A body that was read whole has a length, and needs no other framing. Proxies hand such headers on. */
export function unframed(list: HeaderList): HeaderList {
  return list.filter(([name]) => name !== "transfer-encoding" && name !== "trailer");
}

function isKept(name: string, { allow, deny }: HeaderRules): boolean {
  if (deny.has(name)) return false;
  if (allow.has(name)) return true;
  return !NOT_KEPT.has(name) && !NOT_KEPT_PREFIXES.some((prefix) => name.startsWith(prefix));
}

function asValue(value: number | string | readonly string[]): HeaderValue {
  return Array.isArray(value) ? value.map(String) : String(value);
}

function isSame(one: OutgoingHeaders[string], other: OutgoingHeaders[string]): boolean {
  if (one === undefined || typeof one !== typeof other) return false;
  // Most are strings, and only lists have to be written out to be compared.
  return (
    one === other || (typeof one === "object" && JSON.stringify(one) === JSON.stringify(other))
  );
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** What `Connection` names is hop by hop as well. */
function namesIn(connection: OutgoingHeaders[string]): ReadonlySet<string> {
  if (connection === undefined) return NO_NAMES;
  const names = String(connection).split(",");
  return new Set(names.map((name) => name.trim().toLowerCase()));
}

/** @throws TypeError for a header that Node would refuse to send */
export function checkHeaders(headers: HeaderList): void {
  for (const [name, value] of headers) {
    validateHeaderName(name);
    for (const each of [value].flat()) validateHeaderValue(name, each);
  }
}
