import type { KeyProblem } from "./key.ts";
import type { Sendable } from "./stored-response.ts";

/** Why a request was not run, or not answered with its own response. */
export type ProblemCode =
  | KeyProblem
  | "signature-invalid"
  | "content-type-unsupported"
  | "content-too-large"
  | "key-reused"
  | "in-progress"
  | "outcome-unknown"
  | "response-not-stored"
  | "store-unavailable"
  | "not-found";

/** A problem as it is told to the client: RFC 9457, with members of our own. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  /** Whether it is worth sending the same request with the same key again. */
  readonly retryable: boolean;
  /** What the first request was answered, where its response is not kept. */
  readonly originalStatus?: number;
  readonly location?: string;
}

/** A response that is idemkit's own. It is never recorded. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is particular to one occurrence of a problem. */
export interface Occurrence {
  readonly detail?: string;
  readonly retryAfterMs?: number;
  readonly originalStatus?: number;
  readonly location?: string;
}

/** How a problem is told: its body, and where that needs it another status. */
export type ProblemFormat = (problem: Problem) => {
  readonly status: number;
  readonly contentType: string;
  readonly body: unknown;
  /** Beyond those that every problem has. */
  readonly headers?: Readonly<Record<string, string>>;
};

interface Kind {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly retryable?: true;
}

/** Titles are the draft's where it has one (section 2.7). */
const KINDS: Readonly<Record<ProblemCode, Kind>> = {
  "key-missing": {
    status: 400,
    title: "Idempotency-Key is missing",
    detail: "This operation needs a key, and the request has none.",
  },
  "key-invalid": {
    status: 400,
    title: "Idempotency-Key is not valid",
    detail: "The key could not be read.",
  },
  "key-ambiguous": {
    status: 400,
    title: "Idempotency-Key is ambiguous",
    detail: "There is more than one key.",
  },
  "signature-invalid": {
    status: 401,
    title: "The signature is not valid",
    detail: "The request could not be verified. Nothing was done, and no key was claimed.",
  },
  "content-type-unsupported": {
    status: 415,
    title: "This media type cannot be compared",
    detail:
      "The parts of a multipart body are separated by a text that is another one at each sending, so " +
      "that a repetition would look like another request. Upload the file first, without a key, and " +
      "refer to it in a body of JSON.",
  },
  "content-too-large": {
    status: 413,
    title: "The content is too large",
    detail: "The content is larger than this operation takes.",
  },
  "key-reused": {
    status: 422,
    title: "Idempotency-Key is already used",
    detail: "A key stands for one request, and this one was first used for another. Use a new key.",
  },
  "in-progress": {
    status: 409,
    title: "A request is outstanding for this Idempotency-Key",
    detail:
      "The first request with this key is still being worked on, or was interrupted a moment ago. Send " +
      "the request again later, with the same key.",
    retryable: true,
  },
  "outcome-unknown": {
    status: 409,
    title: "The outcome of this Idempotency-Key is not known",
    detail:
      "An earlier request with this key may or may not have taken effect. It is not run again until an " +
      "operator has decided about it.",
  },
  "response-not-stored": {
    status: 409,
    title: "The response for this Idempotency-Key was not kept",
    detail:
      "The first request with this key was worked on, and is not run again. Its response was not " +
      "kept: ask for the resource itself.",
  },
  "store-unavailable": {
    status: 503,
    title: "Idempotency cannot be ensured at the moment",
    detail: "Nothing was done. Try again later with the same key.",
    retryable: true,
  },
  "not-found": {
    status: 404,
    title: "Nothing is known of this key",
    detail: "There is no operation with this key, or it is not yours.",
  },
};

export const PROBLEM_CODES = Object.keys(KINDS) as readonly ProblemCode[];

/** The draft that is implemented, whose section 2.7 has the first three problems. */
export const DRAFT_URL =
  "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07";

export function problemOf(
  code: ProblemCode,
  docsUrl: string,
  { detail, originalStatus, location }: Occurrence = {},
): Problem {
  const kind = KINDS[code];
  return {
    type: typeOf(code, docsUrl),
    title: kind.title,
    status: kind.status,
    detail: detail ?? kind.detail,
    code,
    retryable: kind.retryable ?? false,
    ...(originalStatus !== undefined && { originalStatus }),
    ...(location !== undefined && { location }),
  };
}

/** The documentation's own fragment makes place for that of the problem: a URL has one at most. */
function typeOf(code: ProblemCode, docsUrl: string): string {
  const url = new URL(docsUrl);
  url.hash = code;
  return url.href;
}

/** application/problem+json, RFC 9457. */
export const problemJson: ProblemFormat = (problem) => ({
  status: problem.status,
  contentType: "application/problem+json",
  body: problem,
});

/**
 * A problem that is thrown, for the framework's own error handling to answer it: `status` and
 * `headers` are where both Koa and Fastify look for them.
 */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly code: ProblemCode;
  readonly status: number;
  readonly statusCode: number;
  /** It contains nothing that the client may not see. */
  readonly expose = true;
  readonly headers: Readonly<Record<string, string>>;
  readonly problem: Problem;

  constructor(problem: Problem, { status, headers }: Answer) {
    super(problem.detail);
    this.code = problem.code;
    this.status = status;
    this.statusCode = status;
    // Whoever formats the error knows the type of what it makes of it.
    const { "content-type": _, ...others } = headers;
    this.headers = others;
    this.problem = problem;
  }
}

/** Seconds, whole and at least one, as Retry-After has them. */
export function retryAfter(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}

export function answerOf(
  problem: Problem,
  format: ProblemFormat,
  docsUrl: string,
  retryAfterMs: number | undefined,
): Answer {
  const { status, contentType, body, headers } = format(problem);
  return {
    status,
    headers: {
      "content-type": contentType,
      "cache-control": "no-store",
      link: `<${docsUrl}>; rel="describedby"`,
      ...headers,
      ...(retryAfterMs !== undefined && { "retry-after": retryAfter(retryAfterMs) }),
    },
    body: JSON.stringify(body),
  };
}

/**
 * A response of idemkit's own as the bindings send it. It is written already: no serializer of the application
 * may touch it.
 */
export function asResponse({ status, headers, body }: Answer): Sendable {
  return { status, headers: Object.entries(headers), body: { kind: "text", text: body } };
}

/** The response for a problem, in the format of the preset. */
export function problemResponse(
  code: ProblemCode,
  { docsUrl, format }: { readonly docsUrl: string; readonly format: ProblemFormat },
  occurrence: Occurrence = {},
): Sendable {
  const problem = problemOf(code, docsUrl, occurrence);
  return asResponse(answerOf(problem, format, docsUrl, occurrence.retryAfterMs));
}
