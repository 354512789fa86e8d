import { setTimeout as pause } from "node:timers/promises";

export type Verdict = "approved" | "declined";

/** Somebody else's service that moves the money. */
export interface CardNetwork {
  /**
   * @param options.idempotencyKey by which it knows a repetition, and books once
   * @throws where it has not answered, so that nobody knows what it has done
   */
  authorise(
    source: string,
    amount: number,
    options: { readonly idempotencyKey: string },
  ): Promise<Verdict>;
}

/** The test card of Stripe's that has no money. */
const DECLINED_SOURCE = "tok_chargeDeclined";

/** Stands for the network in this example: it takes its time, and declines one card. */
export class PretendedNetwork implements CardNetwork {
  readonly #delayMs: number;
  /** While it is down it answers nobody. */
  isDown = false;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  async authorise(source: string): Promise<Verdict> {
    await pause(this.#delayMs);
    if (this.isDown) throw new Error("The card network does not answer.");
    return source === DECLINED_SOURCE ? "declined" : "approved";
  }
}
