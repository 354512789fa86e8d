import { describe, named, shown } from "./describe.ts";
import type { FetchLike, Send } from "./fetch.ts";
import { checkKey, type KeyFormat } from "./key.ts";

/** Why an attempt was not the last one. */
export type RetryReason =
  /** The connection could not be made, or broke. */
  | "network-error"
  /** No response came within `attemptTimeoutMs`. */
  | "attempt-timeout"
  /** The server said that the same key is still running. */
  | "in-progress"
  /** The response has a status such as 503, or is a 409 that asks for a retry. */
  | "status"
  /** The option `shouldRetry` returned true. */
  | "should-retry";

/** The attempt that a response belongs to. */
export interface Attempt {
  readonly key: string;
  /** Counted from 1. */
  readonly attempt: number;
}

/** What is told before each wait for another attempt. */
export interface RetryEvent {
  readonly key: string;
  /** Which attempt it was that did not settle the operation, counted from 1. */
  readonly attempt: number;
  readonly reason: RetryReason;
  /** The status of its response; undefined if it got none. */
  readonly status: number | undefined;
  /** How long is waited before the next attempt, in milliseconds. */
  readonly delayMs: number;
}

/** How long is tried. */
export interface Limits {
  /**
   * How long one call may take with all of its attempts and waits, in milliseconds, from the first
   * send to the head of the final response. 1 to 86,400,000. Default: 60,000.
   */
  readonly deadlineMs?: number;
  /**
   * How long an attempt waits for the head of a response, in milliseconds, before the request is sent
   * again. 1 to 86,400,000. Default: 10,000.
   */
  readonly attemptTimeoutMs?: number;
}

/** Options of one call, and of an operation. */
export interface OperationOptions extends Limits {
  /**
   * What tells this operation from all others: 1 to 255 printable ASCII characters. Default: a new
   * random UUID.
   */
  readonly key?: string;
}

export interface ClientOptions<F extends FetchLike = typeof globalThis.fetch> extends Limits {
  /** What sends: a fetch of the WHATWG's kind. Default: `globalThis.fetch`, at each call. */
  readonly fetch?: F;
  /** The header that carries the key. Default: `Idempotency-Key`. */
  readonly header?: string;
  /** Default: `quoted`. */
  readonly keyFormat?: KeyFormat;
  /** The methods that are sent with a key; all others are refused. Default: POST and PATCH. */
  readonly methods?: readonly string[];
  /**
   * Decides for each response, whatever its status, before the default rule does: `true` sends the
   * request again after a wait, `false` makes the response final, and `undefined` leaves the decision
   * to the default rule. The response is a copy, so its body may be read. Errors of the connection
   * have no response and are always retried. The call counts towards `attemptTimeoutMs`.
   *
   * If it throws or rejects, the call rejects with a `ShouldRetryError`, which has the error as `cause`
   * and the key.
   */
  readonly shouldRetry?: (
    response: Awaited<ReturnType<F>>,
    attempt: Attempt,
  ) => boolean | undefined | Promise<boolean | undefined>;
  /** Hears of each wait. What it throws is reported as uncaught; the call goes on. */
  readonly onRetry?: (event: RetryEvent) => void;
}

/** Options checked and filled in. */
export interface Settings {
  readonly fetch: Send | undefined;
  readonly header: string;
  readonly keyFormat: KeyFormat;
  readonly methods: readonly string[];
  readonly shouldRetry: ((response: Response, attempt: Attempt) => unknown) | undefined;
  readonly onRetry: ((event: RetryEvent) => void) | undefined;
  readonly deadlineMs: number;
  readonly attemptTimeoutMs: number;
  /** Bounds the loop, whatever a server makes of Retry-After. Tests set it lower. */
  readonly attemptsMax: number;
}

const DAY_MS = 86_400_000;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const ATTEMPTS_MAX = 1_000;

const CLIENT_OPTIONS = [
  "fetch",
  "header",
  "keyFormat",
  "methods",
  "shouldRetry",
  "onRetry",
  "deadlineMs",
  "attemptTimeoutMs",
];
const OPERATION_OPTIONS = ["key", "deadlineMs", "attemptTimeoutMs"];

const DEFAULTS: Settings = Object.freeze({
  fetch: undefined,
  header: "Idempotency-Key",
  keyFormat: "quoted",
  methods: ["POST", "PATCH"],
  shouldRetry: undefined,
  onRetry: undefined,
  deadlineMs: 60_000,
  attemptTimeoutMs: 10_000,
  attemptsMax: ATTEMPTS_MAX,
});

/** @throws TypeError that says what was expected and what came */
export function settingsOf<F extends FetchLike>(options: ClientOptions<F>): Settings {
  checkNames(options, CLIENT_OPTIONS);
  const { fetch, header, keyFormat, methods, shouldRetry, onRetry } = options;
  return withLimits(
    {
      ...DEFAULTS,
      // What it takes is known to the caller, who writes the types of `input` and `init` by it.
      fetch: checkFunction(fetch as unknown as Send | undefined, "fetch"),
      header: header === undefined ? DEFAULTS.header : checkToken(header, "header"),
      keyFormat: keyFormat === undefined ? DEFAULTS.keyFormat : checkKeyFormat(keyFormat),
      methods: methods === undefined ? DEFAULTS.methods : checkMethods(methods),
      shouldRetry: checkFunction(shouldRetry as Settings["shouldRetry"], "shouldRetry"),
      onRetry: checkFunction(onRetry, "onRetry"),
    },
    options,
  );
}

/** What holds for one call or operation: the client's settings, and the key if one was given. */
export interface OperationSettings {
  readonly settings: Settings;
  readonly key: string | undefined;
}

/** @throws TypeError that says what was expected and what came */
export function operationSettingsOf(base: Settings, options: OperationOptions): OperationSettings {
  checkNames(options, OPERATION_OPTIONS);
  const key = options.key === undefined ? undefined : checkKey(options.key, base.keyFormat);
  return { settings: withLimits(base, options), key };
}

function withLimits(base: Settings, { deadlineMs, attemptTimeoutMs }: Limits): Settings {
  return Object.freeze({
    ...base,
    deadlineMs: checkMs(deadlineMs, "deadlineMs") ?? base.deadlineMs,
    attemptTimeoutMs: checkMs(attemptTimeoutMs, "attemptTimeoutMs") ?? base.attemptTimeoutMs,
  });
}

/** Refuses misspelt options: a limit that is silently not applied is worse than an error. */
function checkNames(options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`options: expected an object, got ${describe(options)}.`);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new TypeError(`${named(name)}: no such option. Expected one of ${known.join(", ")}.`);
  }
}

function checkMs(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= DAY_MS) {
    return value as number;
  }
  throw new TypeError(`${name}: expected a whole number from 1 to ${DAY_MS}, got ${shown(value)}.`);
}

function checkFunction<T>(value: T, name: string): T {
  if (value === undefined || typeof value === "function") return value;
  throw new TypeError(`${name}: expected a function, got ${shown(value)}.`);
}

function checkToken(value: unknown, name: string): string {
  if (typeof value === "string" && TOKEN.test(value)) return value;
  throw new TypeError(`${name}: expected a name that HTTP allows, got ${shown(value)}.`);
}

function checkKeyFormat(value: unknown): KeyFormat {
  if (value === "quoted" || value === "bare") return value;
  throw new TypeError(`keyFormat: expected 'quoted' or 'bare', got ${shown(value)}.`);
}

function checkMethods(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new TypeError(`methods: expected a list such as ['POST', 'PATCH'], got ${shown(value)}.`);
  }
  return value.map((method, index) => checkToken(method, `methods[${index}]`).toUpperCase());
}
