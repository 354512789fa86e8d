import type { Events } from "./events.ts";
import type { Lifetime } from "./lifetime.ts";
import type { Settings } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import type { StoreClient } from "./store-client.ts";

/** What a claim works with, handed down from its engine. */
export interface ClaimScope {
  readonly client: StoreClient;
  readonly runtime: Runtime;
  readonly events: Events;
  readonly lifetime: Lifetime;
  readonly settings: Settings;
}
