import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { skipN } from "pure-rand/utils/skipN";

/** The first numbers of neighbouring seeds are alike: too much of the state is still zero. */
const SKIPPED = 64;

/** Everything that is left to chance in a world. The same seed throws the same numbers. */
export class Dice {
  readonly #generator;

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed);
    skipN(this.#generator, SKIPPED);
  }

  /** From 0 up to but not including 1. */
  fraction(): number {
    return uniformFloat64(this.#generator);
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.fraction();
  }

  /** A whole number from min to max, both included. */
  whole(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.whole(0, choices.length - 1)] as T;
  }
}
