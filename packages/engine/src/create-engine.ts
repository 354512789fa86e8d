import { begin } from "./begin.ts";
import type { ClaimHandle, ClaimScope, Context } from "./claim-handle.ts";
import { describe } from "./describe.ts";
import type { Begun, Engine, ListOptions, Outcome, Replayed } from "./engine.ts";
import { type EventName, Events, type Listener } from "./events.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { recordId, recordIdOf, type Scope } from "./identity.ts";
import type { JsonLike, Payload } from "./json-like.ts";
import { Lifetime } from "./lifetime.ts";
import type { Replay } from "./meet.ts";
import {
  type Decision,
  type InspectedRecord,
  inspect,
  list,
  purge,
  remove,
  settle,
} from "./operators.ts";
import {
  type CallOptions,
  checkNames,
  checkSignal,
  DEFAULTS,
  type EngineOptions,
  type ErrorPolicy,
  errorPolicy,
  OPERATION_OPTIONS,
  type OperationOptions,
  type Settings,
  withOptions,
} from "./options.ts";
import { nodeRuntime } from "./runtime.ts";
import type { Store } from "./store.ts";
import { storeClientOf } from "./store-client.ts";

const LIST_LIMIT = 100;
const PURGE_LIMIT = 100_000;
const GRACE_MS = 10_000;
const GRACE_MS_MAX = 86_400_000;

/**
 * Makes an engine on a store. It opens nothing, and sets no timer before the first call.
 *
 * @throws TypeError that says which option is wrong, what was expected and what came
 */
export function createEngine(options: EngineOptions): Engine {
  if (typeof (options as Partial<Store> | undefined)?.claim === "function") {
    throw new TypeError("options: expected { store }, got the store itself.");
  }
  checkNames(options, [...OPERATION_OPTIONS, "store", "runtime"]);
  const { store, runtime = nodeRuntime } = options;
  checkStore(store);
  return new StoreEngine({
    client: storeClientOf(store, runtime),
    runtime,
    events: new Events(),
    lifetime: new Lifetime(runtime),
    settings: withOptions(DEFAULTS, options),
  });
}

class StoreEngine implements Engine {
  readonly #scope: ClaimScope;

  constructor(scope: ClaimScope) {
    this.#scope = scope;
  }

  async execute<P, T>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    fn: (context: Context) => (T & JsonLike<T>) | Promise<T & JsonLike<T>>,
    options?: CallOptions,
  ): Promise<Outcome<T>> {
    if (typeof fn !== "function") {
      const expected = "expected a function as the fourth argument, after scope, key and payload";
      throw new TypeError(`fn: ${expected}, got ${describe(fn)}.`);
    }
    const settings = this.#settingsOf(options);
    const begun = await this.#begin(scope, key, payload, settings, options?.signal);
    if (begun.kind === "replay") return replayed<T>(begun);
    const { claim } = begun;
    let value: T;
    try {
      value = await fn(contextOf(claim));
    } catch (error) {
      await endFailed(claim, error, settings);
      throw error;
    }
    const { recorded } = await claim.complete(value);
    const { attempt, token, createdAt } = claim;
    return { value, replayed: false, recorded, attempt, token, createdAt };
  }

  async begin<P>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    options?: Omit<CallOptions, "onError">,
  ): Promise<Begun> {
    const settings = this.#settingsOf(options);
    const begun = await this.#begin(scope, key, payload, settings, options?.signal);
    return begun.kind === "replay" ? { kind: "replay", ...replayed(begun) } : begun;
  }

  with(options: OperationOptions): Engine {
    checkNames(options, OPERATION_OPTIONS);
    const { lifetime, runtime, settings } = this.#scope;
    return new StoreEngine({
      ...this.#scope,
      lifetime: new Lifetime(runtime, lifetime),
      settings: withOptions(settings, options),
    });
  }

  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    return this.#scope.events.on(name, listener);
  }

  async inspect(
    ...of: readonly [Scope, string] | readonly [{ readonly digest: string }]
  ): Promise<InspectedRecord | undefined> {
    const id = of.length === 1 ? recordIdOf(of[0].digest) : recordId(...of);
    return await this.#operate((scope) => inspect(scope, id));
  }

  async settle(scope: Scope, key: string, decision: Decision): Promise<void> {
    const id = recordId(scope, key);
    await this.#operate((claims) => settle(claims, id, decision));
  }

  async list(options: ListOptions) {
    checkNames(options, ["state", "after", "limit"]);
    const { state, after, limit = LIST_LIMIT } = options;
    const query = { state, limit, ...(after !== undefined && { after }) };
    return await this.#operate((scope) => list(scope, query));
  }

  async remove(scope: Scope, key: string): Promise<boolean> {
    const id = recordId(scope, key);
    return await this.#operate((claims) => remove(claims, id));
  }

  async purge(options: { readonly limit?: number } = {}): Promise<number> {
    checkNames(options, ["limit"]);
    const { limit = PURGE_LIMIT } = options;
    return await this.#operate((scope) => purge(scope, limit));
  }

  async close(options: { readonly graceMs?: number } = {}): Promise<void> {
    checkNames(options, ["graceMs"]);
    const { graceMs = GRACE_MS } = options;
    if (!(Number.isFinite(graceMs) && graceMs >= 0 && graceMs <= GRACE_MS_MAX)) {
      const expected = `expected a number from 0 to ${GRACE_MS_MAX}`;
      throw new TypeError(`graceMs: ${expected}, got ${describe(graceMs)}.`);
    }
    await this.#scope.lifetime.close(graceMs);
  }

  /** An operator's call: what is under way when the engine is closed is waited for. */
  async #operate<T>(act: (scope: ClaimScope) => Promise<T>): Promise<T> {
    const { lifetime } = this.#scope;
    lifetime.checkOpen();
    lifetime.enter();
    try {
      return await act(this.#scope);
    } finally {
      lifetime.leave();
    }
  }

  async #begin(
    scope: Scope,
    key: string,
    payload: unknown,
    settings: Settings,
    signal: AbortSignal | undefined,
  ) {
    this.#scope.lifetime.checkOpen();
    const id = recordId(scope, key);
    const fingerprint = fingerprintOf(payload, settings.exclude);
    const { client, runtime, events, lifetime } = this.#scope;
    const call = { id, fingerprint, signal };
    return await begin({ client, runtime, events, lifetime, settings }, call);
  }

  #settingsOf(options: CallOptions | undefined): Settings {
    if (options === undefined) return this.#scope.settings;
    checkNames(options, [...OPERATION_OPTIONS, "signal"]);
    checkSignal(options.signal);
    return withOptions(this.#scope.settings, options);
  }
}

function replayed<T>({ attempt, token, createdAt, completedAt, value }: Replay): Replayed<T> {
  return {
    value: value as T,
    replayed: true,
    recorded: true,
    attempt,
    token,
    createdAt,
    completedAt,
  };
}

/** What the function sees of its claim: it cannot end it, but by returning or throwing. */
function contextOf(claim: ClaimHandle): Context {
  return {
    token: claim.token,
    attempt: claim.attempt,
    get signal() {
      return claim.signal;
    },
  };
}

/** Ends a claim whose function threw, by the policy. The function's own error goes to the caller. */
async function endFailed(claim: ClaimHandle, error: unknown, settings: Settings): Promise<void> {
  switch (policyFor(error, settings)) {
    case "record":
      await claim.fail(error);
      break;
    case "release":
      await claim.release();
      break;
    case "unknown":
      await claim.hold(error);
      break;
  }
}

/** A policy that throws has decided nothing, and then nothing may be run again by itself. */
function policyFor(error: unknown, settings: Settings): ErrorPolicy {
  try {
    return errorPolicy(settings, error);
  } catch {
    return "unknown";
  }
}

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

function checkStore(store: unknown): void {
  if (typeof store !== "object" || store === null) {
    throw new TypeError(`store: expected a store such as memoryStore(), got ${describe(store)}.`);
  }
  for (const name of STORE_OPERATIONS) {
    if (typeof (store as Partial<Store>)[name] === "function") continue;
    const advice = "make one of a database handle, as sqliteStore(db) does";
    throw new TypeError(`store: expected a store, but it has no ${name}(): ${advice}.`);
  }
}
