import type { Store } from "@idemkit/engine";

/** What a store's author hands to the suite. */
export interface Harness {
  /**
   * Two handles on the same records, as two processes would have them. Where the store has no such
   * thing, as in memory, the same handle twice.
   */
  readonly stores: readonly [Store, Store];
  /**
   * Lets time pass for these records: moves each stored time (end of lease, expiry, creation,
   * completion) back by so many milliseconds, or its own clock forward. No clause sleeps. Tokens
   * stay as they are.
   */
  elapse(ms: number, digests: readonly string[]): Promise<void>;
  /**
   * Whether the store's clock is this process's own `Date`, as in memory. A clause sets `Date` wrong
   * for moments, because no client's clock may decide anything: it does not where that is the store's.
   * Default: false.
   */
  readonly usesDate?: boolean;
  /**
   * Whether the store deletes expired records without being asked, so that a purge may find nothing.
   * Default: false.
   */
  readonly expiresByItself?: boolean;
}

/** One promise of the Store contract, bound to no test runner. */
export interface Clause {
  /** Stable and unique, such as `claim.take-over`. Listed in docs/store-contract.md. */
  readonly id: string;
  /** The promise as a sentence. */
  readonly title: string;
  /** Rejects with an AssertionError where the store breaks the promise. */
  check(harness: Harness): Promise<void>;
}
