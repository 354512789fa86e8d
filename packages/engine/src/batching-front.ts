import { problemWithBoolean, problemWithOutcome, problemWithView } from "./answers.ts";
import { Line } from "./line.ts";
import { nodeRuntime, type Runtime } from "./runtime.ts";
import type {
  BoundStore,
  Claim,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  RecordId,
  RecordView,
  Renewal,
  Store,
} from "./store.ts";
import type { Terms } from "./waiting.ts";

/** Labels, numbers and protocol of an entry beside its texts, roughly. */
const ENTRY_OVERHEAD_BYTES = 512;

/**
 * Turns single calls from anywhere in the process into lists for the store. Each operation has a
 * line of its own: renewals never queue behind claims.
 */
export class BatchingFront {
  readonly #claims: Line<ClaimRequest, ClaimOutcome>;
  readonly #renewals: Line<Renewal, boolean>;
  readonly #completions: Line<Completion, boolean>;
  readonly #releases: Line<Claim, boolean>;
  readonly #reads: Line<RecordId, RecordView | undefined>;

  constructor(store: Store, runtime: Runtime) {
    const bound = { isBound: isBound(store) };
    const digestOf = ({ id }: { readonly id: RecordId }) => id.digest;
    const isSmall = () => ENTRY_OVERHEAD_BYTES;
    this.#claims = new Line<ClaimRequest, ClaimOutcome>(runtime, {
      name: "claim",
      send: async (requests) => store.claim(requests),
      digestOf,
      sizeOf: ({ checkpoint = "" }) => ENTRY_OVERHEAD_BYTES + checkpoint.length,
      isDivided: true,
      isUselessLate: true,
      ...bound,
      problemWith: problemWithOutcome,
    });
    this.#renewals = new Line<Renewal, boolean>(runtime, {
      name: "renew",
      send: async (renewals) => store.renew(renewals),
      digestOf,
      sizeOf: ({ checkpoint }) => ENTRY_OVERHEAD_BYTES + (checkpoint?.value.length ?? 0),
      isDivided: false,
      isUselessLate: false,
      ...bound,
      problemWith: problemWithBoolean,
    });
    this.#completions = new Line<Completion, boolean>(runtime, {
      name: "complete",
      send: async (completions) => store.complete(completions),
      digestOf,
      sizeOf: ({ body, note = "" }) => ENTRY_OVERHEAD_BYTES + body.length + note.length,
      isDivided: true,
      isUselessLate: false,
      ...bound,
      problemWith: problemWithBoolean,
    });
    this.#releases = new Line<Claim, boolean>(runtime, {
      name: "release",
      send: async (claims) => store.release(claims),
      digestOf,
      sizeOf: isSmall,
      isDivided: false,
      isUselessLate: false,
      ...bound,
      problemWith: problemWithBoolean,
    });
    this.#reads = new Line<RecordId, RecordView | undefined>(runtime, {
      name: "read",
      send: async (ids) => store.read(ids),
      digestOf: ({ digest }) => digest,
      sizeOf: isSmall,
      isDivided: false,
      isUselessLate: false,
      ...bound,
      problemWith: problemWithView,
    });
  }

  claim(
    request: ClaimRequest,
    timeoutMs: number,
    terms?: Terms<ClaimOutcome>,
  ): Promise<ClaimOutcome> {
    return this.#claims.ask(request, timeoutMs, terms);
  }

  /** A claim that waits until no other does. */
  claimInBackground(
    request: ClaimRequest,
    timeoutMs: number,
    terms: Terms<ClaimOutcome>,
  ): Promise<ClaimOutcome> {
    return this.#claims.askInBackground(request, timeoutMs, terms);
  }

  /** Fails the claims that wait and are too late, now that an engine is closing. */
  recheck(): void {
    this.#claims.recheck();
  }

  renew(renewal: Renewal, timeoutMs: number): Promise<boolean> {
    return this.#renewals.ask(renewal, timeoutMs);
  }

  complete(completion: Completion, timeoutMs: number): Promise<boolean> {
    return this.#completions.ask(completion, timeoutMs);
  }

  release(claim: Claim, timeoutMs: number): Promise<boolean> {
    return this.#releases.ask(claim, timeoutMs);
  }

  read(id: RecordId, timeoutMs: number): Promise<RecordView | undefined> {
    return this.#reads.ask(id, timeoutMs);
  }
}

/** Whether the store is part of somebody's transaction, and silent on its own. */
export function isBound(store: Store): boolean {
  return (store as Partial<BoundStore>).isBound === true;
}

const WRAPPED_TIMEOUT_MS = 60_000;

/**
 * A store behind a batching front of its own, as a store: for running the conformance suite on the
 * two together. An engine needs no such wrapping: it puts a front before every store by itself.
 */
export function batchedStore(store: Store, runtime: Runtime = nodeRuntime): Store {
  const front = new BatchingFront(store, runtime);
  const each =
    <Entry, Answer>(ask: (entry: Entry, timeoutMs: number) => Promise<Answer>) =>
    (entries: readonly Entry[]) =>
      Promise.all(entries.map((entry) => ask(entry, WRAPPED_TIMEOUT_MS)));
  return {
    claim: each((request: ClaimRequest, timeoutMs) => front.claim(request, timeoutMs)),
    renew: each((renewal: Renewal, timeoutMs) => front.renew(renewal, timeoutMs)),
    complete: each((completion: Completion, timeoutMs) => front.complete(completion, timeoutMs)),
    release: each((claim: Claim, timeoutMs) => front.release(claim, timeoutMs)),
    read: each((id: RecordId, timeoutMs) => front.read(id, timeoutMs)),
    list: (query) => store.list(query),
    remove: (id, token) => store.remove(id, token),
    purge: (limit) => store.purge(limit),
  };
}
