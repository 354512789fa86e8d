import type { RecordId, Store } from "@idemkit/engine";
import { modelStore, type StoredRecord, transition } from "@idemkit/engine/model";
import type { Applied } from "../history.ts";
import { Locks } from "./locks.ts";
import type { World } from "./world.ts";

export type ListOperation = "claim" | "renew" | "complete" | "release" | "read";

const EPOCH_MS = 1_700_000_000_000;
/** How long a statement waits for a record that a transaction holds, as a share of the lease. */
const LOCK_WAIT_SHARE = 1 / 3;

export function recordOf({ scope, key }: Pick<RecordId, "scope" | "key">): string {
  return `${scope}/${key}`;
}

/** The server has refused a statement: its transaction is over, and that is its response. */
export class ServerError extends Error {
  readonly code: "DEADLOCK" | "LOCK_TIMEOUT" | "ABORTED";

  constructor(code: ServerError["code"]) {
    super(`the server says ${code}`);
    this.code = code;
  }
}

/** The store with a clock of its own. It writes down what it did, when, and for whom. */
export class Server {
  readonly locks: Locks;
  readonly records = new Map<string, StoredRecord>();
  readonly #world: World;
  readonly #store: Store;
  readonly #rate: number;
  #steppedMs = 0;

  constructor(world: World) {
    this.#world = world;
    this.#rate = 1 + world.dice.between(-1, 1) * world.plan.faults.drift;
    this.locks = new Locks(world.timeline);
    this.#store = this.storeOn(this.records);
  }

  get nowMs(): number {
    return Math.floor(EPOCH_MS + this.#steppedMs + this.#world.timeline.nowMs * this.#rate);
  }

  /** Until when a statement that begins now waits for a record, on the world's clock. */
  get lockedUntilMs(): number {
    const { plan, timeline } = this.#world;
    return timeline.nowMs + plan.leaseMs * LOCK_WAIT_SHARE;
  }

  /** Whether a transaction, of another than the holder, holds one of the records. */
  isLocked(ids: readonly RecordId[], holder?: object): boolean {
    return ids.some(({ digest }) => this.locks.isHeld(digest, holder));
  }

  /**
   * Waits until a transaction that holds one of the records is over. Another one may have come first.
   *
   * @throws ServerError where that takes too long
   */
  async waitFor(ids: readonly RecordId[], untilMs: number): Promise<void> {
    const [locked] = ids.filter(({ digest }) => this.locks.isHeld(digest));
    if (locked === undefined) return;
    this.#world.note({ kind: "blocked", record: recordOf(locked) });
    const leftMs = untilMs - this.#world.timeline.nowMs;
    if (leftMs <= 0) throw new ServerError("LOCK_TIMEOUT");
    await this.locks.change(locked.digest, leftMs);
  }

  /** The rules of the store on other records, such as those that a transaction sees. */
  storeOn(records: Map<string, StoredRecord>): Store {
    return modelStore({ transition, records, clock: () => this.nowMs });
  }

  stepClock(byMs: number): void {
    this.#steppedMs += byMs;
  }

  /**
   * Applies the entries of a list, all at this moment, or once no transaction holds one of them.
   *
   * @throws ServerError where that takes too long
   */
  async apply(
    from: string,
    message: number,
    operation: ListOperation,
    entries: readonly unknown[],
  ): Promise<readonly unknown[]> {
    const ids = (entries as readonly { readonly id: RecordId }[]).map(({ id }) => id);
    const untilMs = this.lockedUntilMs;
    while (operation !== "read" && this.isLocked(ids)) await this.waitFor(ids, untilMs);
    const storeMs = this.nowMs;
    const ask = this.#store[operation] as (list: readonly unknown[]) => Promise<readonly unknown[]>;
    const answers = await ask(entries);
    if (operation === "read") return answers;
    const about = { kind: "applied", message, process: from, storeMs } as const;
    for (const [index, given] of entries.entries()) {
      const record = recordOf(ids[index] as RecordId);
      this.#world.note({ ...about, record, operation, given, answer: answers[index] } as Applied);
    }
    return answers;
  }

  async list(query: Parameters<Store["list"]>[0]) {
    return await this.#store.list(query);
  }

  async remove(from: string, message: number, id: RecordId, token: number): Promise<boolean> {
    const untilMs = this.lockedUntilMs;
    while (this.isLocked([id])) await this.waitFor([id], untilMs);
    const storeMs = this.nowMs;
    const answer = await this.#store.remove(id, token);
    const about = { kind: "applied", message, process: from, storeMs } as const;
    const record = recordOf(id);
    this.#world.note({ ...about, record, operation: "remove", given: { token }, answer });
    return answer;
  }

  /** It skips what a transaction holds. */
  async purge(limit: number): Promise<number> {
    const storeMs = this.nowMs;
    const before = [...this.records.values()];
    const locked = before.filter(({ id }) => this.locks.isHeld(id.digest));
    for (const { id } of locked) this.records.delete(id.digest);
    const purged = await this.#store.purge(limit);
    for (const each of locked) this.records.set(each.id.digest, each);
    const gone = before.filter(({ id }) => !this.records.has(id.digest));
    const records = gone.map(({ id }) => recordOf(id));
    this.#world.note({ kind: "purged", limit, records, storeMs });
    return purged;
  }
}
