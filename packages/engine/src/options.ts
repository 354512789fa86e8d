import { describe, named, shown } from "./describe.ts";
import {
  type DuplicatePolicy,
  ERROR_POLICIES,
  type ErrorPolicy,
  type Guarantee,
  type LapsedPolicy,
  type Policies,
  type Reconcile,
} from "./policies.ts";
import type { Runtime } from "./runtime.ts";
import type { Store } from "./store.ts";

/**
 * How an operation is run. Each option may be set for an engine, for a derived one, or for one call.
 * `undefined` means "as before": as the parent engine has it. `'default'` restores the default.
 */
export interface OperationOptions {
  /** Default: `at-most-once`. */
  readonly guarantee?: Guarantee | "default";
  /**
   * Decides the outcome of a function that throws. A function decides by the error; if it throws or
   * returns no policy, the outcome is held. Default: `record` under at-most-once, `release` under
   * at-least-once.
   *
   * If the engine had aborted the function's `signal`, only a function or `hold` decides: otherwise the
   * outcome stays open. A function decides about a RunAbortedError too. Unless a step was interrupted, none
   * of its results leaves the outcome to `onLapsed`: `hold` leaves it to an operator.
   */
  readonly onError?: ErrorPolicy | ((error: unknown) => ErrorPolicy) | "default";
  /**
   * Default: `rerun` under at-least-once. Under at-most-once `resume` with `steps: true`, else `block`.
   */
  readonly onLapsed?: LapsedPolicy | "default";
  /**
   * How long after the end of a lease a `reconcile` of a step or an `onLapsed` function is asked, in
   * milliseconds by the store's clock. Until then duplicates get InProgressError, because a request of the
   * dead process may still be on its way. 0 to 86,400,000. Default: `leaseMs`.
   */
  readonly settleAfterMs?: number | "default";
  /**
   * How long the function may run, in milliseconds. After that its claim is no longer renewed, `signal` is
   * aborted, and the claim lapses. The caller's promise still waits for the function: only a function that
   * heeds `signal` ends it in time. A claim inside a transaction of the caller is not limited by it.
   * 100 to 31,536,000,000 (a year). Default: no limit, but an event `still-running` after ten leases.
   */
  readonly maxRunMs?: number | "default";
  /**
   * Whether the function has recovery points, see `Context.step`. What has effects outside of them
   * may then happen twice under at-most-once. Default: false.
   */
  readonly steps?: boolean;
  /**
   * Default: `reject`. With `waitMs` a duplicate waits up to so many milliseconds, 1 to 86,400,000.
   */
  readonly onDuplicate?: DuplicatePolicy | "default";
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
export interface Settings extends Policies {
  readonly replayMs: number;
  readonly storeTimeoutMs: number;
  readonly exclude: ReadonlySet<string>;
  readonly maxResultBytes: number;
}

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
const TEN_YEARS_MS = 10 * YEAR_MS;
const WAIT_MS_MAX = DAY_MS;
const REPLAY_FACTOR = 10;

export const DEFAULTS: Settings = Object.freeze({
  guarantee: "at-most-once",
  onError: undefined,
  onLapsed: undefined,
  settleAfterMs: undefined,
  maxRunMs: undefined,
  steps: false,
  onDuplicate: "reject",
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
    onLapsed: pick(given, "onLapsed", base, checkOnLapsed),
    settleAfterMs: pick(given, "settleAfterMs", base, integerFrom(0, DAY_MS)),
    maxRunMs: pick(given, "maxRunMs", base, integerFrom(100, YEAR_MS)),
    steps: pick(given, "steps", base, checkBoolean),
    onDuplicate: pick(given, "onDuplicate", base, checkOnDuplicate),
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
  if (settings.onLapsed === "resume" && !settings.steps) {
    throw new TypeError(
      "onLapsed: 'resume' needs `steps: true`: without steps nothing shows what was done.",
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

/** The policies: `'default'` restores their default, which for some of them no other value names. */
const RESTORABLE: ReadonlySet<keyof Settings> = new Set([
  "guarantee",
  "onError",
  "onLapsed",
  "onDuplicate",
  "settleAfterMs",
  "maxRunMs",
]);

type Check<T> = (value: unknown, name: string) => T;

function pick<Name extends keyof Settings & keyof OperationOptions>(
  given: OperationOptions,
  name: Name,
  base: Settings,
  check: Check<Settings[Name]>,
): Settings[Name] {
  const value = given[name];
  if (value === undefined) return base[name];
  return value === "default" && RESTORABLE.has(name) ? DEFAULTS[name] : check(value, name);
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

const checkOnLapsed: Check<LapsedPolicy> = (value, name) =>
  typeof value === "function"
    ? (value as Reconcile)
    : oneOf("block", "resume", "rerun")(value, name);

const checkBoolean: Check<boolean> = (value, name) => {
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name}: expected true or false, got ${shown(value)}.`);
};

const checkOnDuplicate: Check<DuplicatePolicy> = (value, name) => {
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

/** A batch has no steps, so that nothing shows how far an earlier run of a line has come. */
export function withoutSteps(settings: Settings): Settings {
  const onLapsed = settings.onLapsed === "resume" ? "block" : settings.onLapsed;
  return { ...settings, steps: false, onLapsed };
}
