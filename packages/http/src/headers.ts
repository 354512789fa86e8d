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

/**
 * The headers that were set since `before`, but for those that belong to one answer alone. Headers that
 * were there already are set again for each request, by whoever set them.
 */
export function headersSince(
  before: OutgoingHeaders,
  after: OutgoingHeaders,
  rules: HeaderRules,
): HeaderList {
  const ofConnection = namesIn(after.connection);
  const list: [string, HeaderValue][] = [];
  for (const name of Object.keys(after)) {
    const value = after[name];
    if (value === undefined || isSame(before[name], value)) continue;
    const lowerName = name.toLowerCase();
    if (ofConnection.has(lowerName) || !isKept(lowerName, rules)) continue;
    list.push([lowerName, kept(value)]);
  }
  return list;
}

/** The names of headers that were set since `before`, of those that are kept, and are not among the kept ones. */
export function headersOutOfPlace(
  before: OutgoingHeaders,
  now: OutgoingHeaders,
  stored: HeaderList,
): readonly string[] {
  const names = new Set(stored.map(([name]) => name));
  const since = headersSince(before, now, { allow: new Set(), deny: new Set() });
  return since.map(([name]) => name).filter((name) => !names.has(name));
}

function isKept(name: string, { allow, deny }: HeaderRules): boolean {
  if (deny.has(name)) return false;
  if (allow.has(name)) return true;
  return !NOT_KEPT.has(name) && !NOT_KEPT_PREFIXES.some((prefix) => name.startsWith(prefix));
}

function kept(value: number | string | readonly string[]): HeaderValue {
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
