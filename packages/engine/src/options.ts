import type { ClaimContext } from "./context.ts";
import { describe, named, shown } from "./describe.ts";
import type { Runtime } from "./runtime.ts";
import type { Finding } from "./steps.ts";
import type { Store } from "./store.ts";

/**
 * - `at-most-once`: the same key never runs twice without somebody's decision. Failures are
 *   recorded, and work whose process died is reported as unknown.
 * - `at-least-once`: what failed or was abandoned runs again when a caller comes again.
 */
export type Guarantee = "at-most-once" | "at-least-once";

/** What becomes of the key when the function throws. */
export type ErrorPolicy = "record" | "release" | "unknown";

/**
 * What becomes of work whose lease lapsed: it stays as it is, or the next caller runs it again, or
 * that caller finds out first whether it happened.
 */
export type AbandonedPolicy = "block" | "rerun" | Reconcile;

/**
 * Finds out whether work happened whose process died, by asking those whom it called. It runs under a
 * new claim: what happened is recorded, what did not is run, and what is still unknown stays open.
 */
export type Reconcile = (context: ClaimContext) => Finding<unknown> | Promise<Finding<unknown>>;

/** What a call does that meets the same key still running. */
export type DuplicatePolicy = "reject" | { readonly waitMs: number };

/** How an operation is run. Each may be set for an engine, for a derived one, or for one call. */
export interface OperationOptions {
  /** Default: `at-most-once`. */
  readonly guarantee?: Guarantee;
  /**
   * `record` keeps the failure as the outcome, `release` lets the next caller run, `unknown` leaves
   * the outcome to an operator. A function decides by the error. Default: `record` under
   * at-most-once, `release` under at-least-once.
   */
  readonly onError?: ErrorPolicy | ((error: unknown) => ErrorPolicy);
  /**
   * Default: `rerun` under at-least-once, `block` under at-most-once. There, with `steps`, work that
   * was not interrupted inside a step is resumed, unless `block` is asked for.
   */
  readonly onAbandoned?: AbandonedPolicy;
  /**
   * Whether the function has recovery points, see `Context.step`. What has effects outside of them
   * may then happen twice under at-most-once. Default: false.
   */
  readonly steps?: boolean;
  /** Default: `reject`. With `waitMs` a duplicate waits up to so many milliseconds. */
  readonly duplicates?: DuplicatePolicy;
  /**
   * How long a claim holds without a sign of life, in milliseconds. It is renewed at every third of
   * it while the function runs. 100 to 86,400,000. Default: 30,000.
   */
  readonly leaseMs?: number;
  /**
   * How long an outcome is replayed, in milliseconds; afterwards the key is new. At least
   * 10 × (leaseMs + storeTimeoutMs), so that no delayed message can revive a finished key, and at
   * most ten years. Default: 86,400,000 (24 hours).
   */
  readonly replayMs?: number;
  /** How long a call to the store may take, retries included. 10 to 600,000. Default: 5,000. */
  readonly storeTimeoutMs?: number;
  /**
   * Members of the payload that do not make it another content, as JSON Pointers (RFC 6901), such
   * as `/requestedAt`.
   */
  readonly exclude?: readonly string[];
  /**
   * A result whose JSON has more bytes is not kept: its duplicates get ResultUnavailableError.
   * 0 to 67,108,864. Default: 4,194,304 (4 MiB).
   */
  readonly maxResultBytes?: number;
}

export interface CallOptions extends OperationOptions {
  /** Ends this caller's waiting. It never stops the function: that may serve others too. */
  readonly signal?: AbortSignal;
}

/** Which outcome it is whose result was not kept. Times are epoch ms, the store's clock. */
export interface Reference {
  readonly attempt: number;
  /** The fencing number of the attempt that was completed. */
  readonly token: number;
  readonly createdAt: number;
  readonly completedAt: number;
}

export interface ExecuteOptions<T> extends CallOptions {
  /**
   * Makes a duplicate's result anew where it was not kept: from your own data, say, which may then be
   * the only place that has it, with `maxResultBytes: 0`. Without it such duplicates get
   * ResultUnavailableError. What it throws comes out as it is.
   */
  readonly rebuild?: (reference: Reference) => T | Promise<T>;
}

export interface EngineOptions extends OperationOptions {
  readonly store: Store;
  /** Clock, timers, randomness and warnings. Only for simulations. */
  readonly runtime?: Runtime;
}

/** Options checked and filled in, as the engine works with them. */
export interface Settings {
  readonly guarantee: Guarantee;
  readonly onError: ErrorPolicy | ((error: unknown) => ErrorPolicy) | undefined;
  readonly onAbandoned: AbandonedPolicy | undefined;
  readonly steps: boolean;
  readonly duplicates: DuplicatePolicy;
  readonly leaseMs: number;
  readonly replayMs: number;
  readonly storeTimeoutMs: number;
  readonly exclude: ReadonlySet<string>;
  readonly maxResultBytes: number;
}

const DAY_MS = 86_400_000;
const TEN_YEARS_MS = 3650 * DAY_MS;
const WAIT_MS_MAX = DAY_MS;
const REPLAY_FACTOR = 10;

export const DEFAULTS: Settings = Object.freeze({
  guarantee: "at-most-once",
  onError: undefined,
  onAbandoned: undefined,
  steps: false,
  duplicates: "reject",
  leaseMs: 30_000,
  replayMs: DAY_MS,
  storeTimeoutMs: 5_000,
  exclude: new Set<string>(),
  maxResultBytes: 4 * 1024 * 1024,
});

/**
 * Checks each option given and lays it over the settings so far.
 *
 * @throws TypeError that says what was expected and what came
 */
export function withOptions(base: Settings, options: OperationOptions): Settings {
  const given: OperationOptions = checkedObject(options);
  const settings: Settings = {
    guarantee: pick(given, "guarantee", base, oneOf("at-most-once", "at-least-once")),
    onError: pick(given, "onError", base, checkOnError),
    onAbandoned: pick(given, "onAbandoned", base, checkOnAbandoned),
    steps: pick(given, "steps", base, checkBoolean),
    duplicates: pick(given, "duplicates", base, checkDuplicates),
    leaseMs: pick(given, "leaseMs", base, integerFrom(100, DAY_MS)),
    replayMs: pick(given, "replayMs", base, integerFrom(1, TEN_YEARS_MS)),
    storeTimeoutMs: pick(given, "storeTimeoutMs", base, integerFrom(10, 600_000)),
    exclude: given.exclude === undefined ? base.exclude : checkExclude(given.exclude),
    maxResultBytes: pick(given, "maxResultBytes", base, integerFrom(0, 64 * 1024 * 1024)),
  };
  const replayMsMin = REPLAY_FACTOR * (settings.leaseMs + settings.storeTimeoutMs);
  if (settings.replayMs < replayMsMin) {
    throw new TypeError(
      `replayMs: expected at least ${replayMsMin}, which is ${REPLAY_FACTOR} × (leaseMs + ` +
        `storeTimeoutMs), got ${settings.replayMs}. A delayed message could revive a finished key.`,
    );
  }
  return Object.freeze(settings);
}

export const OPERATION_OPTIONS: readonly string[] = Object.keys(DEFAULTS);
export const CALL_OPTIONS: readonly string[] = [...OPERATION_OPTIONS, "signal", "rebuild"];

/** Refuses misspelt options: a guarantee that is silently not applied is worse than an error. */
export function checkNames(options: unknown, known: readonly string[]): void {
  for (const name of Object.keys(checkedObject(options))) {
    if (known.includes(name)) continue;
    throw new TypeError(`${named(name)}: no such option. Expected one of ${known.join(", ")}.`);
  }
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new TypeError(`signal: expected an AbortSignal, got ${describe(signal)}.`);
}

/** Whether a lapsed claim may be taken over by the next caller, whatever is known of it. */
export function takesOver({ guarantee, onAbandoned }: Settings): boolean {
  return (onAbandoned ?? (guarantee === "at-least-once" ? "rerun" : "block")) !== "block";
}

/** Whether a lapsed claim may be taken over where its steps show that nothing would be repeated. */
export function resumes({ onAbandoned, steps }: Settings): boolean {
  return steps && onAbandoned === undefined;
}

/**
 * What to do with an error, by the policy. One that throws, or answers none, has decided nothing, and
 * then nothing may be run again by itself.
 */
export function policyFor(error: unknown, { guarantee, onError }: Settings): ErrorPolicy {
  if (onError === undefined) return guarantee === "at-least-once" ? "release" : "record";
  if (typeof onError === "string") return onError;
  let answer: unknown;
  try {
    answer = onError(error);
  } catch {
    return "unknown";
  }
  // Whatever becomes of a promise is too late to decide anything.
  if (answer instanceof Promise) answer.catch(() => undefined);
  return ERROR_POLICIES.find((policy) => policy === answer) ?? "unknown";
}

const ERROR_POLICIES: readonly ErrorPolicy[] = ["record", "release", "unknown"];

type Check<T> = (value: unknown, name: string) => T;

function pick<Name extends keyof Settings & keyof OperationOptions>(
  given: OperationOptions,
  name: Name,
  base: Settings,
  check: Check<Settings[Name]>,
): Settings[Name] {
  const value = given[name];
  return value === undefined ? base[name] : check(value, name);
}

function checkedObject<T>(options: T): T & object {
  if (typeof options === "object" && options !== null && !Array.isArray(options)) return options;
  throw new TypeError(`options: expected an object, got ${describe(options)}.`);
}

function oneOf<const T extends string>(...names: readonly T[]): Check<T> {
  return (value, name) => {
    if (names.includes(value as T)) return value as T;
    const expected = names.map((each) => `'${each}'`).join(" or ");
    throw new TypeError(`${name}: expected ${expected}, got ${shown(value)}.`);
  };
}

function integerFrom(min: number, max: number): Check<number> {
  return (value, name) => {
    if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) {
      return value as number;
    }
    throw new TypeError(
      `${name}: expected a whole number from ${min} to ${max}, got ${shown(value)}.`,
    );
  };
}

const checkOnError: Check<Settings["onError"]> = (value, name) =>
  typeof value === "function"
    ? (value as (error: unknown) => ErrorPolicy)
    : oneOf(...ERROR_POLICIES)(value, name);

const checkOnAbandoned: Check<AbandonedPolicy> = (value, name) =>
  typeof value === "function" ? (value as Reconcile) : oneOf("block", "rerun")(value, name);

const checkBoolean: Check<boolean> = (value, name) => {
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name}: expected true or false, got ${shown(value)}.`);
};

const checkDuplicates: Check<DuplicatePolicy> = (value, name) => {
  if (value === "reject") return value;
  if (typeof value === "object" && value !== null && "waitMs" in value) {
    return Object.freeze({ waitMs: integerFrom(1, WAIT_MS_MAX)(value.waitMs, `${name}.waitMs`) });
  }
  throw new TypeError(`${name}: expected 'reject' or { waitMs }, got ${shown(value)}.`);
};

function checkExclude(value: unknown): ReadonlySet<string> {
  if (!Array.isArray(value)) {
    throw new TypeError(`exclude: expected a list of JSON Pointers, got ${describe(value)}.`);
  }
  for (const [index, pointer] of value.entries()) {
    if (typeof pointer === "string" && /^(\/([^~/]|~[01])*)+$/.test(pointer)) continue;
    throw new TypeError(
      `exclude[${index}]: expected a JSON Pointer such as '/requestedAt', got ${shown(pointer)}.`,
    );
  }
  return new Set(value);
}
