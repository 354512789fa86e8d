import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";

/** The `error` member of a response, as Stripe's clients read it. */
export interface ErrorBody {
  readonly type: "api_error" | "card_error" | "idempotency_error" | "invalid_request_error";
  readonly code?: string;
  readonly message: string;
  readonly charge?: string;
}

/** An error with its response. */
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

/** Responds to an error in Stripe's form. The client does not see the message of an internal error. */
export function answerError(
  error: FastifyError | ApiError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { statusCode = 500 } = error;
  reply.code(statusCode);
  if (error instanceof ApiError) return reply.send({ error: error.body });
  if (statusCode < 500) {
    return reply.send({ error: { type: "invalid_request_error", message: error.message } });
  }
  request.log.error(error);
  return reply.send({ error: { type: "api_error", message: "Something went wrong here." } });
}
