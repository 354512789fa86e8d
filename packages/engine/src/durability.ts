import { describe, named, shown } from "./describe.ts";

/**
 * What an acknowledged outcome survives: nothing but the life of the process, the death of the process,
 * or the death of the server and a power cut as well.
 */
export type Durability = "none" | "process-kill" | "power-loss";

/** What a store's `check` may be asked for. */
export interface CheckOptions {
  /** The least that is needed. Default: `power-loss`. */
  readonly durability?: Durability;
}

const LEVELS: readonly Durability[] = ["none", "process-kill", "power-loss"];

/**
 * What is wrong where an outcome survives less than was asked for.
 *
 * @param advice what to do about it, as the middle of a sentence
 * @throws TypeError where an option is something else
 */
export function durabilityProblems(
  options: CheckOptions,
  survives: Durability,
  advice: string,
): readonly string[] {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`options: expected an object with durability, got ${describe(options)}.`);
  }
  const { durability = "power-loss", ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(`${named(unknown)}: no such option. Expected durability.`);
  }
  if (!LEVELS.includes(durability)) {
    const expected = LEVELS.map((level) => `'${level}'`).join(" or ");
    throw new TypeError(`durability: expected ${expected}, got ${shown(durability)}.`);
  }
  if (LEVELS.indexOf(survives) >= LEVELS.indexOf(durability)) return [];
  return [
    `An acknowledged outcome survives '${survives}' and has to survive '${durability}': ${advice}, ` +
      `or say check({ durability: '${survives}' }) where that is meant.`,
  ];
}
