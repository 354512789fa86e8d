import type { HeaderList } from "./headers.ts";

/** Where the headers stand that were set before the error was thrown. */
const HEADERS_MEMBER = "idempotentResponseHeaders";

/** The status with which frameworks answer an error: its own, if it has one, or 500. */
export function statusOfError(error: unknown): number {
  const { status, statusCode } = read(error);
  return [status, statusCode].find(isErrorStatus) ?? 500;
}

function isErrorStatus(status: unknown): status is number {
  return Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 599;
}

/**
 * An error with all that frameworks answer it by, as own members: those of `http-errors` are on a
 * prototype, which no record keeps.
 */
export function describedError(error: unknown, headers: HeaderList): unknown {
  if (!(error instanceof Error)) return error;
  const { status, statusCode, expose } = read(error);
  return Object.defineProperties(
    Object.assign(new Error(error.message), error, {
      ...(status !== undefined && { status }),
      ...(statusCode !== undefined && { statusCode }),
      ...(expose !== undefined && { expose }),
      [HEADERS_MEMBER]: headers,
    }),
    { name: { value: error.name }, stack: { value: error.stack } },
  );
}

/** Takes the headers that {@link describedError} has put there off the error again. */
export function takeHeaders(error: unknown): HeaderList {
  if (!(error instanceof Error) || !(HEADERS_MEMBER in error)) return [];
  const headers = error[HEADERS_MEMBER] as HeaderList;
  delete error[HEADERS_MEMBER];
  return headers;
}

function read(error: unknown): {
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly expose?: unknown;
} {
  return typeof error === "object" && error !== null ? error : {};
}
