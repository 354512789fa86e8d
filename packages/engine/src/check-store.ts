import { describe } from "./describe.ts";
import type { Store } from "./store.ts";

const STORE_OPERATIONS: readonly (keyof Store)[] = [
  "claim",
  "renew",
  "complete",
  "release",
  "read",
  "list",
  "remove",
  "purge",
];

/** @throws TypeError where it is no store, or has no such operation */
export function checkStore(store: unknown): void {
  if (typeof store !== "object" || store === null) {
    throw new TypeError(`store: expected a store such as memoryStore(), got ${describe(store)}.`);
  }
  for (const name of STORE_OPERATIONS) {
    if (typeof (store as Partial<Store>)[name] === "function") continue;
    const advice = "make one of a database handle, as sqliteStore(db) does";
    throw new TypeError(`store: expected a store, but it has no ${name}(): ${advice}.`);
  }
}
