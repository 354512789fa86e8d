import type { RecordId, Store } from "@idemkit/engine";
import { modelStore, type StoredRecord, transition } from "@idemkit/engine/model";
import type { Applied } from "../history.ts";
import type { World } from "./world.ts";

export type ListOperation = "claim" | "renew" | "complete" | "release" | "read";

const EPOCH_MS = 1_700_000_000_000;

export function recordOf({ scope, key }: Pick<RecordId, "scope" | "key">): string {
  return `${scope}/${key}`;
}

/** The store with a clock of its own. It writes down what it did, when, and for whom. */
export class Server {
  readonly #world: World;
  readonly #records = new Map<string, StoredRecord>();
  readonly #store: Store;
  readonly #rate: number;
  #steppedMs = 0;

  constructor(world: World) {
    this.#world = world;
    this.#rate = 1 + world.dice.between(-1, 1) * world.plan.faults.drift;
    const clock = () => this.#nowMs();
    this.#store = modelStore({ transition, records: this.#records, clock });
  }

  stepClock(byMs: number): void {
    this.#steppedMs += byMs;
  }

  /** Applies the entries of a list, all at this moment. */
  async apply(
    from: string,
    message: number,
    operation: ListOperation,
    entries: readonly unknown[],
  ): Promise<readonly unknown[]> {
    const storeMs = this.#nowMs();
    const ask = this.#store[operation] as (list: readonly unknown[]) => Promise<readonly unknown[]>;
    const answers = await ask(entries);
    if (operation === "read") return answers;
    const about = { kind: "applied", message, process: from, storeMs } as const;
    for (const [index, entry] of entries.entries()) {
      const record = recordOf((entry as { readonly id: RecordId }).id);
      const answer = answers[index];
      this.#world.note({ ...about, record, operation, given: entry, answer } as Applied);
    }
    return answers;
  }

  async list(query: Parameters<Store["list"]>[0]) {
    return await this.#store.list(query);
  }

  async remove(from: string, message: number, id: RecordId, token: number): Promise<boolean> {
    const storeMs = this.#nowMs();
    const answer = await this.#store.remove(id, token);
    const about = { kind: "applied", message, process: from, storeMs } as const;
    const record = recordOf(id);
    this.#world.note({ ...about, record, operation: "remove", given: { token }, answer });
    return answer;
  }

  async purge(limit: number): Promise<number> {
    const storeMs = this.#nowMs();
    const before = [...this.#records.values()];
    const purged = await this.#store.purge(limit);
    const gone = before.filter(({ id }) => !this.#records.has(id.digest));
    const records = gone.map(({ id }) => recordOf(id));
    this.#world.note({ kind: "purged", limit, records, storeMs });
    return purged;
  }

  #nowMs(): number {
    return Math.floor(EPOCH_MS + this.#steppedMs + this.#world.timeline.nowMs * this.#rate);
  }
}
