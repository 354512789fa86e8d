/**
 * A handler has responded with 5xx: the error that an `onError` function of the engine decides about.
 * As the evidence of an outcome that is held, it carries the response.
 */
export class ResponseError extends Error {
  override readonly name = "ResponseError";
  readonly status: number;
  readonly response: unknown;

  constructor(status: number, response: unknown) {
    super(`The handler responded with ${status}.`);
    this.status = status;
    this.response = response;
  }
}
