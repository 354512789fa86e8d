import { type HttpOptions, httpSettings } from "./options.ts";

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

/** What a protected route asks for and may answer, for its OpenAPI description. */
export function describeOperation<Req>(options: HttpOptions<Req>): OperationDescription {
  const { headerNames, required, grammar, isAccepting, format, docsUrl } = httpSettings(options);
  const problem = (status: number, description: string, headers?: object) => {
    const { contentType } = format({
      ...{ type: docsUrl, title: "", status, detail: "", code: "key-invalid", retryable: false },
    });
    const schema = contentType === "application/problem+json" ? PROBLEM_SCHEMA : { type: "object" };
    return { description, content: { [contentType]: { schema } }, ...(headers && { headers }) };
  };
  const reused = format({
    ...{ type: docsUrl, title: "", status: 422, detail: "", code: "key-reused", retryable: false },
  }).status;
  return {
    parameters: headerNames.map((name) => ({
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
      400: problem(400, "The key is missing or cannot be read."),
      409: problem(
        409,
        "The first request with this key still runs, its outcome is unknown, or its response was not kept.",
        { "Retry-After": RETRY_AFTER },
      ),
      [reused]: problem(reused, "The key was first used for another request."),
      503: problem(503, "Idempotency cannot be ensured at the moment. Nothing was done.", {
        "Retry-After": RETRY_AFTER,
      }),
      ...(isAccepting && {
        202: {
          description: "The first request with this key still runs.",
          headers: {
            "Retry-After": RETRY_AFTER,
            Location: { description: "Where its status is told.", schema: { type: "string" } },
          },
        },
      }),
    },
  };
}
