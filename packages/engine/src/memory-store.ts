import { modelStore } from "./model-store.ts";
import type { Store } from "./store.ts";
import { transition } from "./transition.ts";

export interface MemoryStoreOptions {
  /** The store's clock in epoch milliseconds. Default: `Date.now`. Tests hand in one they can move. */
  readonly clock?: () => number;
}

/**
 * A store in this process's memory: the reference for every other store, and the one to start with.
 *
 * It survives nothing: when the process ends, every record is gone, and a retry runs again. Use it
 * for tests, and for a single process whose duplicates need not be recognised after a restart.
 * Expired records stay in memory until they are purged.
 */
export function memoryStore({ clock = Date.now }: MemoryStoreOptions = {}): Store {
  return modelStore({ transition, records: new Map(), clock });
}
