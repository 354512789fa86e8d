import { describe } from "./describe.ts";

/** One line of a batch: a key with the content that it stands for. */
export interface Line<P> {
  /** 1 to 255 bytes of UTF-8. */
  readonly key: string;
  /** It is hashed, and not stored. */
  readonly payload: P;
}

/** A line that is to be done now. */
export interface NewLine<P> extends Line<P> {
  /** Which try this is, counted from 1. */
  readonly attempt: number;
  /** The fencing number. */
  readonly token: number;
}

/** What came of a line that was to be done. */
export type LineResult<T> =
  | { readonly key: string; readonly value: T }
  | { readonly key: string; readonly error: unknown };

/** What a function that runs on lines may know and do. */
export interface LinesContext<T> {
  /** Aborted as `Context.signal` is, when that would be aborted for one of the lines. */
  readonly signal: AbortSignal;
  /**
   * Records a line's result at once, so that it is not done again whatever becomes of the others.
   *
   * @throws Error where the line is none of these, or done already
   */
  done(key: string, value: T): Promise<void>;
}

/** What became of a line of a batch. */
export type Verdict<T> =
  /** It was done now. `recorded` as in {@link Executed}. */
  | {
      readonly key: string;
      readonly verdict: "executed";
      readonly value: T;
      readonly recorded: boolean;
    }
  /** It was done before, or by an equal line of the same batch. */
  | { readonly key: string; readonly verdict: "replayed"; readonly value: T }
  /** Its key was first used with another payload. */
  | { readonly key: string; readonly verdict: "conflict" }
  /** Somebody else does it. */
  | { readonly key: string; readonly verdict: "in-progress"; readonly retryAfterMs: number }
  /** It failed, now or before. Whether it will be done again is up to `onError`. */
  | { readonly key: string; readonly verdict: "failed"; readonly error: unknown }
  /**
   * It is not known whether it was done, or its result was not kept. `error` says which: an
   * OutcomeUnknownError, a LeaseLostError, a ResultUnavailableError, the RunAbortedError of an abort
   * after which the function threw, or an Error if the function returned no result for it.
   */
  | { readonly key: string; readonly verdict: "unknown"; readonly error: unknown };

const LINES_MAX = 10_000;

/** @throws TypeError where they are none, or too many */
export function checkLines(lines: unknown): void {
  if (!Array.isArray(lines) || lines.length === 0 || lines.length > LINES_MAX) {
    const got = Array.isArray(lines) ? `${lines.length}` : describe(lines);
    throw new TypeError(`lines: expected a list of 1 to ${LINES_MAX} lines, got ${got}.`);
  }
  for (const [index, line] of lines.entries()) {
    if (typeof line === "object" && line !== null && "key" in line) continue;
    throw new TypeError(`lines[${index}]: expected { key, payload }, got ${describe(line)}.`);
  }
}

/** Says in an error which line it is about. */
export function inLine<T>(index: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error) error.message = `lines[${index}]: ${error.message}`;
    throw error;
  }
}
