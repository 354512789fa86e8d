import type { Expect } from "./invariants.ts";

/** What the provider has booked for one step, or for the whole, in one life of a record. */
interface Effect {
  booked: number;
  /** How many repetitions were decided: by a throw, a finding, or an operator. */
  allowed: number;
  /** The tokens under which it was begun, and those of which it has not ended. */
  readonly begun: Set<number>;
  readonly open: Set<number>;
  /** Whether it was run again by a call that may rerun. */
  isRerun: boolean;
}

/** The effects of a record outside, by life and step. Without a decision each happens once. */
export class Effects {
  readonly #effects = new Map<string, Effect>();

  /** It may have happened from now on. */
  begin(life: number, step: string, token: number, reruns: boolean): void {
    const effect = this.#of(life, step);
    effect.isRerun ||= reruns && effect.begun.size > 0 && !effect.begun.has(token);
    effect.begun.add(token);
    effect.open.add(token);
  }

  /** It has returned, or thrown undisturbed. */
  end(life: number, step: string, token: number): void {
    this.#of(life, step).open.delete(token);
  }

  /** Whether it was begun and has not ended. */
  isOpen(life: number, step: string): boolean {
    return this.#of(life, step).open.size > 0;
  }

  /** One more is decided; of every step where none is named. */
  allow(life: number, step: string | undefined): void {
    if (step !== undefined) {
      this.#of(life, step).allowed += 1;
      return;
    }
    for (const [key, effect] of this.#effects) {
      if (key.startsWith(`${life} `)) effect.allowed += 1;
    }
  }

  book(life: number, step: string, expect: Expect): void {
    const effect = this.#of(life, step);
    effect.booked += 1;
    const isDecided = effect.isRerun || effect.booked <= 1 + effect.allowed;
    expect(isDecided, "F3", `the effect of ${step || "a function"} happened again, undecided`);
  }

  #of(life: number, step: string): Effect {
    const key = `${life} ${step}`;
    const effect = this.#effects.get(key) ?? {
      ...{
        booked: 0,
        allowed: 0,
        begun: new Set<number>(),
        open: new Set<number>(),
        isRerun: false,
      },
    };
    this.#effects.set(key, effect);
    return effect;
  }
}
