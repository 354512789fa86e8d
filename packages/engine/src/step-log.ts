import type { Checkpoint } from "./store.ts";

/** Whether a step that was begun can be reconciled. */
export type Begun = "reconcilable" | "once";

/**
 * How far a step has got: it has begun, and whether it can be reconciled, or it is done, and its body.
 * A step that threw is not in the log.
 */
export type StepState =
  | { readonly begun: Begun }
  | { readonly begun?: never; readonly body: string };

type Entry = StepState & { readonly name: string };

/** What stands in front of a step log, so that another kind of checkpoint is never taken for one. */
const FORMAT = "steps:";

/** The steps of a claim and how far each has got. It travels as the record's checkpoint. */
export class StepLog {
  readonly #steps: Map<string, StepState>;

  private constructor(steps: Map<string, StepState>) {
    this.#steps = steps;
  }

  /** @throws SyntaxError where the checkpoint holds no log that {@link toString} wrote */
  static from(checkpoint: Checkpoint | undefined): StepLog {
    if (checkpoint === undefined) return new StepLog(new Map());
    const { value } = checkpoint;
    if (!value.startsWith(FORMAT)) throw new SyntaxError("The checkpoint is not a step log.");
    const entries: unknown = JSON.parse(value.slice(FORMAT.length));
    if (!Array.isArray(entries) || !entries.every(isEntry)) {
      throw new SyntaxError("The checkpoint is no step log that this release of idemkit reads.");
    }
    return new StepLog(new Map(entries.map(({ name, ...state }) => [name, state])));
  }

  get(name: string): StepState | undefined {
    return this.#steps.get(name);
  }

  set(name: string, state: StepState): void {
    this.#steps.set(name, state);
  }

  /** Takes a step out that is known to have failed. */
  delete(name: string): void {
    this.#steps.delete(name);
  }

  entries(): IterableIterator<[string, StepState]> {
    return this.#steps.entries();
  }

  toString(): string {
    return FORMAT + JSON.stringify([...this.#steps].map(([name, state]) => ({ name, ...state })));
  }
}

function isEntry(entry: unknown): entry is Entry {
  if (typeof entry !== "object" || entry === null) return false;
  const { name, begun, body } = entry as Readonly<Record<string, unknown>>;
  const isState = begun === undefined ? typeof body === "string" : isMarker(begun);
  return typeof name === "string" && isState;
}

function isMarker(begun: unknown): boolean {
  return begun === "reconcilable" || begun === "once";
}

/** The log with which a claim begins that may be resumed. */
export const NO_STEPS = `${FORMAT}[]`;

export function isStepLog(checkpoint: Checkpoint | undefined): boolean {
  return readLog(checkpoint) !== undefined;
}

/** The log of a checkpoint, or nothing where it holds none that can be read. */
export function readLog(checkpoint: Checkpoint | undefined): StepLog | undefined {
  try {
    return StepLog.from(checkpoint);
  } catch {
    return undefined;
  }
}

/**
 * How far interrupted work had got:
 *
 * - `clear`: each step of its log is done, or was never begun
 * - `reconcilable`: each step that was under way can find out whether it happened
 * - `in-doubt`: a step was under way that cannot, or there is no log
 */
export type Interruption = "clear" | "reconcilable" | "in-doubt";

export function interruptionOf(checkpoint: Checkpoint | undefined): Interruption {
  const log = checkpoint && readLog(checkpoint);
  if (log === undefined) return "in-doubt";
  const begun = new Set([...log.entries()].map(([, state]) => state.begun));
  if (begun.has("once")) return "in-doubt";
  return begun.has("reconcilable") ? "reconcilable" : "clear";
}
