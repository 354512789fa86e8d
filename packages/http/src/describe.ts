import { type HttpOptions, httpSettings } from "./options.ts";
import { DRAFT_URL, type ProblemCode, type ProblemFormat, problemOf } from "./problems.ts";

/** Parts of an OpenAPI 3.1 operation, to be merged into that of a protected route. */
export interface OperationDescription {
  readonly parameters: readonly Readonly<Record<string, unknown>>[];
  readonly responses: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const PROBLEM_SCHEMA = {
  type: "object",
  required: ["type", "title", "status", "detail", "code", "retryable"],
  properties: {
    type: { type: "string", format: "uri" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string" },
    retryable: { type: "boolean" },
    originalStatus: { type: "integer" },
    location: { type: "string" },
  },
} as const;

const RETRY_AFTER = {
  description: "Seconds after which it is worth asking again, with the same key.",
  schema: { type: "integer", minimum: 1 },
} as const;

const ACCEPTED = {
  description: "The first request with this key still runs.",
  headers: {
    "Retry-After": RETRY_AFTER,
    Location: { description: "Where its status is told.", schema: { type: "string" } },
  },
} as const;

const ASKED_AGAIN: ReadonlySet<ProblemCode> = new Set(["in-progress", "store-unavailable"]);

/** What may be answered in place of the route's own responses, in the order of the checks. */
const REFUSALS: readonly (readonly [code: ProblemCode, description: string])[] = [
  ["signature-invalid", "The request could not be verified."],
  ["key-missing", "The key is missing or cannot be read."],
  ["content-type-unsupported", "The media type is one whose repetitions cannot be recognised."],
  ["content-too-large", "The content is larger than what can be compared."],
  ["key-reused", "The key was first used for another request."],
  [
    "in-progress",
    "The first request with this key still runs, its outcome is unknown, or its response was not kept.",
  ],
  ["store-unavailable", "Idempotency cannot be ensured at the moment. Nothing was done."],
];

/** What a protected route asks for and may answer, for its OpenAPI description. */
export function describeOperation<Req>(options: HttpOptions<Req>): OperationDescription {
  const settings = httpSettings(options);
  const { headerNames, required, grammar, isAccepting, format, docsUrl } = settings;
  // A key that comes from elsewhere, such as a body, has no header of its own to describe.
  const ofHeaders = settings.key === undefined ? headerNames : [];
  return {
    parameters: ofHeaders.map((name) => ({
      name,
      in: "header",
      // Where there are several names, one of them is enough.
      required: required && headerNames.length === 1,
      description: `One key for each operation, the same for each attempt at it. See ${docsUrl}`,
      schema: {
        type: "string",
        minLength: 1,
        ...(grammar.keyFormat && { pattern: grammar.keyFormat.source }),
      },
    })),
    responses: {
      ...refusals(format, settings.verify !== undefined),
      ...(isAccepting && { 202: ACCEPTED }),
    },
  };
}

function refusals(format: ProblemFormat, verifies: boolean): OperationDescription["responses"] {
  const responses: Record<string, Readonly<Record<string, unknown>>> = {};
  for (const [code, text] of REFUSALS) {
    if (code === "signature-invalid" && !verifies) continue;
    const { status, contentType } = format(problemOf(code, DRAFT_URL));
    // With some presets two refusals have the same status.
    const before = responses[status]?.description;
    const description = before === undefined ? text : `${before} Or: ${text}`;
    const schema = contentType === "application/problem+json" ? PROBLEM_SCHEMA : { type: "object" };
    const headers = ASKED_AGAIN.has(code) && { headers: { "Retry-After": RETRY_AFTER } };
    responses[status] = { description, content: { [contentType]: { schema } }, ...headers };
  }
  return responses;
}
