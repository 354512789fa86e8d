import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";

/** The `error` member of an answer, as Stripe's clients read it. */
export interface ErrorBody {
  readonly type: "api_error" | "card_error" | "idempotency_error" | "invalid_request_error";
  readonly code?: string;
  readonly message: string;
  readonly charge?: string;
}

/** An answer that is an error, thrown from wherever it becomes clear. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly statusCode: number;
  readonly body: ErrorBody;

  constructor(statusCode: number, body: ErrorBody) {
    super(body.message);
    this.statusCode = statusCode;
    this.body = body;
  }
}

/** Answers what was thrown in Stripe's form. What is not the client's fault is not told to it. */
export function answerError(
  error: FastifyError | ApiError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { statusCode = 500 } = error;
  reply.code(statusCode);
  // A replayed error has been through a record: it is no ApiError any more, and has its body still.
  if ("body" in error) return reply.send({ error: error.body });
  if (statusCode < 500) {
    return reply.send({ error: { type: "invalid_request_error", message: error.message } });
  }
  request.log.error(error);
  return reply.send({ error: { type: "api_error", message: "Something went wrong here." } });
}
