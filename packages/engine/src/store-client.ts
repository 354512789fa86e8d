import { FaultyStoreError, problemWithOutcome } from "./answers.ts";
import { BatchingFront, isBound } from "./batching-front.ts";
import { StoreError, type StoreOperation } from "./errors.ts";
import { Flights } from "./flights.ts";
import { AskedClaim, GiveBacks } from "./give-backs.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { Lifetime } from "./lifetime.ts";
import { Poller } from "./poller.ts";
import type { Runtime } from "./runtime.ts";
import type {
  Claim,
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  ListQuery,
  RecordId,
  RecordPage,
  RecordView,
  Renewal,
  Store,
  Transacted,
  TransactionalStore,
  TransactOptions,
} from "./store.ts";
import { TimedOutError, within } from "./timing.ts";

/**
 * What all engines of a process share that work on the same store object: its batching front, its
 * heartbeats, its poller, and the calls under way. Trouble comes out of it as StoreError.
 */
export class StoreClient {
  readonly flights = new Flights();
  readonly heartbeats: Heartbeats;
  readonly poller: Poller;
  /** Whether the store is part of somebody's transaction, and silent on its own. */
  readonly isBound: boolean;
  readonly #front: BatchingFront;
  readonly #giveBacks: GiveBacks;
  readonly #store: Store;
  readonly #runtime: Runtime;

  constructor(store: Store, runtime: Runtime) {
    this.#store = store;
    this.#runtime = runtime;
    this.isBound = isBound(store);
    this.#front = new BatchingFront(store, runtime);
    this.heartbeats = new Heartbeats((...asked) => this.renew(...asked), runtime);
    this.poller = new Poller(this.#front, runtime);
    this.#giveBacks = new GiveBacks(this.#front, (...asked) => this.release(...asked), runtime);
  }

  /**
   * Claims, within the lifetime of an engine. After it has rejected, nothing runs under the request's
   * owner any more, and a claim that was sent is given back.
   */
  async claim(
    request: ClaimRequest,
    askedAtMs: number,
    timeoutMs: number,
    lifetime: Lifetime,
  ): Promise<ClaimOutcome> {
    const asked = new AskedClaim(request, askedAtMs, timeoutMs, lifetime, this.#giveBacks);
    try {
      return await this.#front.claim(request, timeoutMs, asked);
    } catch (cause) {
      const error = new StoreError("claim", cause);
      if (error.wasSent && !this.isBound) void this.#giveBacks.findOut(asked, cause);
      throw error;
    }
  }

  /** Looks at all that waits again, as an engine is closing. */
  hurry(): void {
    this.#front.recheck();
    this.#giveBacks.hurry();
  }

  renew(renewal: Renewal, timeoutMs: number): Promise<boolean> {
    return orStoreError("renew", this.#front.renew(renewal, timeoutMs));
  }

  complete(completion: Completion, timeoutMs: number): Promise<boolean> {
    return orStoreError("complete", this.#front.complete(completion, timeoutMs));
  }

  /**
   * Gives a claim back. One that took over lapses at once instead: what it took over was open, and
   * still is.
   */
  release(claim: Claim, takenOver: boolean, timeoutMs: number): Promise<boolean> {
    if (takenOver) return this.renew({ ...claim, leaseMs: 0 }, timeoutMs);
    return orStoreError("release", this.#front.release(claim, timeoutMs));
  }

  read(id: RecordId, timeoutMs: number): Promise<RecordView | undefined> {
    return orStoreError("read", this.#front.read(id, timeoutMs));
  }

  list(query: ListQuery, timeoutMs: number): Promise<RecordPage> {
    const ask = async () => this.#store.list(query);
    return this.#once("list", timeoutMs, ask, (page) => Array.isArray(page?.records));
  }

  remove(id: RecordId, token: number, timeoutMs: number): Promise<boolean> {
    const ask = async () => this.#store.remove(id, token);
    return this.#once("remove", timeoutMs, ask, (answer) => typeof answer === "boolean");
  }

  /** @throws TypeError where the store has no transactions */
  checkTransactional(): void {
    if (typeof (this.#store as Partial<TransactionalStore<unknown>>).transact === "function")
      return;
    throw new TypeError(
      "transaction(): this store has no transactions, as SQL databases have them.",
    );
  }

  /**
   * Runs work in a transaction. It takes as long as the work does, but its beginning is waited for no
   * longer than any other call to the store: what begins later does not work. It rejects with what the
   * work rejects with, as it is.
   */
  transact(
    request: ClaimRequest,
    work: (tx: unknown, claimed: Claimed) => Completion | Promise<Completion>,
    options: TransactOptions,
    timeoutMs: number,
  ): Promise<Transacted> {
    return new Promise((resolve, reject) => {
      let late: TimedOutError | undefined;
      const cancel = this.#runtime.schedule(() => {
        late = new TimedOutError(`No transaction was begun in ${timeoutMs} ms.`);
        reject(late);
      }, timeoutMs);
      const begun = (tx: unknown, claimed: Claimed) => {
        cancel();
        if (late !== undefined) throw late;
        return work(tx, claimed);
      };
      this.#transact(request, begun, options).finally(cancel).then(resolve, reject);
    });
  }

  purge(limit: number, timeoutMs: number): Promise<number> {
    const ask = async () => this.#store.purge(limit);
    return this.#once("purge", timeoutMs, ask, (count) => Number.isSafeInteger(count));
  }

  /** Gives back a claim that nothing runs under, in the background. */
  giveBack(claim: Claim, takenOver: boolean, timeoutMs: number, lifetime: Lifetime): void {
    void this.#giveBacks.release(claim, takenOver, timeoutMs, lifetime);
  }

  async #transact(
    request: ClaimRequest,
    work: (tx: unknown, claimed: Claimed) => Completion | Promise<Completion>,
    options: TransactOptions,
  ): Promise<Transacted> {
    const store = this.#store as TransactionalStore<unknown, false>;
    const answer = await store.transact(request, work, options);
    const problem = answer?.outcome === "blocked" ? undefined : problemWithOutcome(answer);
    if (problem === undefined) return answer;
    throw new FaultyStoreError(`transact: ${problem}.`);
  }

  /** A rare call, outside the front. */
  async #once<T>(
    operation: StoreOperation,
    timeoutMs: number,
    ask: () => Promise<T>,
    isSound: (answer: T) => boolean,
  ): Promise<T> {
    const call = this.isBound
      ? ask()
      : within(this.#runtime, timeoutMs, ask(), `The call to ${operation}`);
    const answer = await orStoreError(operation, call);
    if (isSound(answer)) return answer;
    const why = `${operation}: the store's answer is not of the contract's shape.`;
    throw new StoreError(operation, new FaultyStoreError(why));
  }
}

async function orStoreError<T>(operation: StoreOperation, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw new StoreError(operation, error);
  }
}

const clients = new WeakMap<Runtime, WeakMap<Store, StoreClient>>();

/** The client of a store object: the same for every engine that works on it in this runtime. */
export function storeClientOf(store: Store, runtime: Runtime): StoreClient {
  const ofRuntime = clients.get(runtime) ?? new WeakMap<Store, StoreClient>();
  clients.set(runtime, ofRuntime);
  const client = ofRuntime.get(store) ?? new StoreClient(store, runtime);
  ofRuntime.set(store, client);
  return client;
}
