import type { Process } from "./process.ts";
import type { World } from "./world.ts";

/** What is asked of the provider: for which record and payload, and in which step. Empty: as a whole. */
export interface Reference {
  readonly record: string;
  readonly payload: string;
  readonly step: string;
}

interface Order extends Reference {
  readonly call: number;
  readonly token: number;
  /** What is kept with the booking. */
  readonly value: string;
}

/** What the provider knows of an order. */
export type Found = { readonly value: string } | "nothing" | "doubtful";

/** The provider did not respond. */
class ProviderError extends Error {}

const PATIENCE_LEASES_MAX = 3;
const SLOW_LEASES_MAX = 1.5;

/**
 * A service outside that books orders. It knows nothing of claims, books each request that arrives, and
 * can say what it has booked. A request may arrive after its caller has died or given up.
 */
export class Provider {
  readonly #world: World;
  readonly #bookings = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
  }

  /**
   * Sends an order. Resolves when the provider has confirmed it.
   *
   * @param mayHang whether a caller that gets no response waits for ever, instead of giving up after a while
   */
  order(process: Process, order: Order, mayHang: boolean): Promise<void> {
    const { dice, faults, plan, timeline } = this.#world;
    const { lost, late, unanswered } = faults.provider;
    const isLost = dice.chance(lost);
    const isLate = !isLost && dice.chance(late);
    const arrivesMs = isLate ? dice.between(0, plan.providerLateMs) : dice.between(0.2, 3);
    if (!isLost) timeline.after(arrivesMs, () => this.#book(order));
    const isSilent = isLost || dice.chance(unanswered) || (isLate && dice.chance(0.5));
    return new Promise((resolve, reject) => {
      if (!isSilent) {
        const slowMs = dice.chance(0.3) ? dice.between(0, SLOW_LEASES_MAX) * plan.leaseMs : 0;
        process.later(arrivesMs + dice.between(0.2, 3) + slowMs, resolve);
        return;
      }
      if (mayHang && dice.chance(0.5)) return;
      const patienceMs = dice.between(0.1, PATIENCE_LEASES_MAX) * plan.leaseMs;
      process.later(patienceMs, () => reject(new ProviderError("the provider did not respond")));
    });
  }

  /** Asks for the first booking of an order. */
  find(process: Process, reference: Reference): Promise<Found> {
    const { dice, faults, plan, timeline } = this.#world;
    const isDoubtful = dice.chance(faults.provider.doubtful);
    const isRefused = isDoubtful && dice.chance(0.5);
    const slowMs = dice.chance(0.3) ? dice.between(0, 1) * plan.leaseMs : 0;
    return new Promise((resolve, reject) => {
      timeline.after(dice.between(0.2, 3), () => {
        const value = this.#bookings.get(keyOf(reference));
        process.later(dice.between(0.2, 3) + slowMs, () => {
          if (isRefused) reject(new ProviderError("the provider could not be asked"));
          else if (isDoubtful) resolve("doubtful");
          else resolve(value === undefined ? "nothing" : { value });
        });
      });
    });
  }

  #book(order: Order): void {
    const { record, step, call, token, value } = order;
    this.#world.note({ kind: "booked", record, step, call, token });
    const key = keyOf(order);
    if (!this.#bookings.has(key)) this.#bookings.set(key, value);
  }
}

function keyOf({ record, payload, step }: Reference): string {
  return `${record} ${payload} ${step}`;
}
