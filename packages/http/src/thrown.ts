import {
  EngineClosedError,
  RunAbortedError,
  StoreError,
  UnclearCommitError,
} from "@idemkit/engine";
import { hasCause } from "@idemkit/engine/model";
import { type HeaderList, type HeaderRules, keptHeaders } from "./headers.ts";

/** Where the headers stand that were set before the error was thrown. */
const HEADERS_MEMBER = "idempotentResponseHeaders";

/** The status with which frameworks answer an error: its own, if it has one. */
export function statusOfError(error: unknown, otherwise = 500): number {
  const { status, statusCode } = answeredBy(error);
  return [status, statusCode].find(isErrorStatus) ?? otherwise;
}

/**
 * Whether a class of errors has made an error, or a class that extends it. Koa 3.3 lets `instanceof HttpError`
 * hold for every error that has a status, such as that of an HTTP client.
 */
export function isMadeBy(kind: unknown, error: unknown): boolean {
  try {
    return typeof kind === "function" && Function.prototype[Symbol.hasInstance].call(kind, error);
  } catch {
    // A proxy whose prototype cannot be read.
    return false;
  }
}

function isErrorStatus(status: unknown): status is number {
  return Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 599;
}

/**
 * An error with all that frameworks answer it by, as own members: those of `http-errors` are on a
 * prototype, which no record keeps.
 */
export function errorRecord(
  error: unknown,
  headers: HeaderList,
  status: number,
  rules: HeaderRules,
): unknown {
  try {
    if (!(error instanceof Error)) return error;
    return Object.defineProperties(
      Object.assign(new Error(error.message), error, answeredBy(error), keptOwn(error, rules), {
        ...(status !== statusOfError(error) && { statusCode: status }),
        [HEADERS_MEMBER]: headers,
      }),
      { name: { value: error.name }, stack: { value: error.stack } },
    );
  } catch {
    // Its members throw themselves. The engine describes it as far as that goes.
    return error;
  }
}

/** Frameworks send the headers that an error brings along. The same of them are kept as of others. */
function keptOwn(error: Error, rules: HeaderRules): { readonly headers?: object } {
  const { headers } = error as { readonly headers?: unknown };
  if (typeof headers !== "object" || headers === null) return {};
  const isKept = ([name, value]: [string, HeaderList[number][1]]) =>
    keptHeaders([[name.toLowerCase(), value]], rules).length > 0;
  return { headers: Object.fromEntries(Object.entries(headers).filter(isKept)) };
}

/** Takes the headers that {@link errorRecord} has put there off the error again. */
export function takeHeaders(error: unknown): HeaderList {
  if (!(error instanceof Error) || !(HEADERS_MEMBER in error)) return [];
  const headers = error[HEADERS_MEMBER] as HeaderList;
  delete error[HEADERS_MEMBER];
  return headers;
}

/** Frameworks ask only errors, and nothing else that was thrown. An error whose getters throw has no members. */
function answeredBy(error: unknown): {
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly expose?: unknown;
} {
  try {
    if (!(error instanceof Error)) return {};
    const { status, statusCode, expose } = error as ReturnType<typeof answeredBy>;
    return {
      ...(status !== undefined && { status }),
      ...(statusCode !== undefined && { statusCode }),
      ...(expose !== undefined && { expose }),
    };
  } catch {
    return {};
  }
}

/** Whether a transaction may have been committed. */
export function isUnclear(error: unknown): boolean {
  try {
    return error instanceof StoreError && error.cause instanceof UnclearCommitError;
  } catch {
    // A proxy that throws itself.
    return false;
  }
}

/** Whether a retry with the same key may succeed: this process closes, its run was aborted, or its store fails. */
export function isWorthRetry(error: unknown): boolean {
  const kinds = [StoreError, RunAbortedError, EngineClosedError];
  return hasCause(error, (each) => kinds.some((kind) => each instanceof kind));
}
