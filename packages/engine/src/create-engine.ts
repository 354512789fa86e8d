import { begin } from "./begin.ts";
import { checkStore } from "./check-store.ts";
import type { TransactionalClaimHandle } from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import type { ClaimContext, TransactionalContext } from "./context.ts";
import { describe } from "./describe.ts";
import type {
  Begun,
  Engine,
  EngineOn,
  ListOptions,
  Outcome,
  Replayed,
  TransactionalEngine,
} from "./engine.ts";
import { type EventName, Events, type Listener } from "./events.ts";
import { executeMany, type LineCall, type LinesFn } from "./execute-many.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type DeriveKeyOptions, derivedKey, recordId, recordIdOf, type Scope } from "./identity.ts";
import type { JsonLike, Payload } from "./json-like.ts";
import { Lifetime } from "./lifetime.ts";
import {
  checkLines,
  inLine,
  type Line,
  type LineResult,
  type LinesContext,
  type NewLine,
  type Verdict,
} from "./lines.ts";
import type { Call, Replay } from "./meet.ts";
import {
  type Decision,
  type InspectedRecord,
  inspect,
  list,
  purge,
  remove,
  type SettleOptions,
  settle,
} from "./operators.ts";
import {
  CALL_OPTIONS,
  type CallOptions,
  checkNames,
  checkSignal,
  DEFAULTS,
  type EngineOptions,
  type ExecuteOptions,
  OPERATION_OPTIONS,
  type OperationOptions,
  type Settings,
  withOptions,
  withoutSteps,
} from "./options.ts";
import { runUnder } from "./run.ts";
import { nodeRuntime } from "./runtime.ts";
import type { NowOrLater, Store } from "./store.ts";
import { storeClientOf } from "./store-client.ts";
import { transaction } from "./transaction.ts";

const LIST_LIMIT = 100;
const PURGE_LIMIT = 100_000;
const GRACE_MS = 10_000;
const GRACE_MS_MAX = 86_400_000;

/**
 * Makes an engine on a store. It opens nothing, and sets no timer before the first call.
 *
 * @throws TypeError that says which option is wrong, what was expected and what came
 */
export function createEngine<S extends Store>(
  options: EngineOptions & { readonly store: S },
): EngineOn<S>;
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
    events: new Events(runtime),
    lifetime: new Lifetime(runtime),
    settings: withOptions(DEFAULTS, options),
  });
}

class StoreEngine implements TransactionalEngine<unknown, false> {
  readonly #scope: ClaimScope;

  constructor(scope: ClaimScope) {
    this.#scope = scope;
  }

  get exclude(): readonly string[] {
    return [...this.#scope.settings.exclude];
  }

  async execute<P, T>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    fn: (
      context: TransactionalContext<unknown, false>,
    ) => (T & JsonLike<T>) | Promise<T & JsonLike<T>>,
    options?: ExecuteOptions<T>,
  ): Promise<Outcome<T>> {
    checkFunction("fn", fn);
    const settings = this.#settingsOf(options);
    const own = { ...this.#scope, settings };
    const call = this.#callOf(scope, key, payload, settings, options?.signal);
    const begun = await begin(own, call);
    if (begun.kind === "replay") return replayed<T>(begun, await resultOf(begun, options?.rebuild));
    return await runUnder(own, begun.claim, fn);
  }

  async transaction<P, T>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    work: (tx: unknown, context: ClaimContext) => NowOrLater<T & JsonLike<T>, false>,
    options?: ExecuteOptions<T>,
  ): Promise<Outcome<T>> {
    checkFunction("work", work);
    this.#scope.client.checkTransactional();
    const settings = this.#settingsOf(options);
    const call = this.#callOf(scope, key, payload, settings, options?.signal);
    const came = await transaction({ ...this.#scope, settings }, call, work);
    if (came.kind === "replay") return replayed<T>(came, await resultOf(came, options?.rebuild));
    const { attempt, token, createdAt } = came.claimed;
    const value = came.value as T;
    return { value, replayed: false, recorded: true, attempt, token, createdAt };
  }

  async begin<P>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    options?: Omit<CallOptions, "onError">,
  ): Promise<Begun<TransactionalClaimHandle<unknown, false>>> {
    const settings = this.#settingsOf(options);
    const call = this.#callOf(scope, key, payload, settings, options?.signal);
    const begun = await begin({ ...this.#scope, settings }, call);
    if (begun.kind === "execute") return begun;
    return { kind: "replay", ...replayed(begun, await resultOf(begun, undefined)) };
  }

  async executeMany<P, T>(
    scope: Scope,
    lines: readonly Line<P & Payload<P>>[],
    fn: (
      lines: readonly NewLine<P>[],
      context: LinesContext<T & JsonLike<T>>,
    ) => readonly LineResult<T & JsonLike<T>>[] | Promise<readonly LineResult<T & JsonLike<T>>[]>,
    options?: CallOptions,
  ): Promise<readonly Verdict<T>[]> {
    checkLines(lines);
    checkFunction("fn", fn, "third argument, after scope and lines");
    const settings = withoutSteps(this.#settingsOf(options));
    // The caller's own lines may change while they are worked on.
    const calls = lines.map(({ key, payload }, index): LineCall => {
      const call = inLine(index, () =>
        this.#callOf(scope, key, payload, settings, options?.signal),
      );
      return { line: { key, payload }, call };
    });
    const verdicts = await executeMany({ ...this.#scope, settings }, calls, fn as LinesFn);
    return verdicts as readonly Verdict<T>[];
  }

  with(options: OperationOptions): TransactionalEngine<unknown, false> {
    checkNames(options, OPERATION_OPTIONS);
    const { lifetime, runtime, settings } = this.#scope;
    return new StoreEngine({
      ...this.#scope,
      lifetime: new Lifetime(runtime, lifetime),
      settings: withOptions(settings, options),
    });
  }

  deriveKey(scope: Scope, key: string, name: string, options?: DeriveKeyOptions): string {
    return derivedKey(recordId(scope, key), name, options);
  }

  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    return this.#scope.events.on(name, listener);
  }

  async inspect(
    ...of: readonly [Scope, string] | readonly [{ readonly digest: string }]
  ): Promise<InspectedRecord | undefined> {
    const id = of.length === 1 ? recordIdOf(of[0]) : recordId(...of);
    return await this.#operate((scope) => inspect(scope, id));
  }

  async settle(
    scope: Scope,
    key: string,
    decision: Decision,
    options: SettleOptions = {},
  ): Promise<void> {
    const id = recordId(scope, key);
    checkNames(options, ["overrule"]);
    await this.#operate((claims) => settle(claims, id, decision, options));
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
    const closed = this.#scope.lifetime.close(graceMs);
    this.#scope.client.hurry();
    await closed;
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

  #callOf(
    scope: Scope,
    key: string,
    payload: unknown,
    settings: Settings,
    signal: AbortSignal | undefined,
  ): Call {
    this.#scope.lifetime.checkOpen();
    const id = recordId(scope, key);
    return { id, fingerprint: fingerprintOf(payload, settings.exclude), signal };
  }

  #settingsOf(options: ExecuteOptions<unknown> | undefined): Settings {
    if (options === undefined) return this.#scope.settings;
    checkNames(options, CALL_OPTIONS);
    checkSignal(options.signal);
    if (options.rebuild !== undefined && typeof options.rebuild !== "function") {
      throw new TypeError(`rebuild: expected a function, got ${describe(options.rebuild)}.`);
    }
    return withOptions(this.#scope.settings, options);
  }
}

function replayed<T>(
  { attempt, token, createdAt, completedAt, expiresAt }: Replay,
  value: T,
): Replayed<T> {
  const times = { createdAt, completedAt, expiresAt };
  return { value, replayed: true, recorded: true, attempt, token, ...times };
}

/** A duplicate's result: as it was kept, or made anew. */
async function resultOf<T>(
  { value, notKept, attempt, token, createdAt, completedAt }: Replay,
  rebuild: ExecuteOptions<T>["rebuild"],
): Promise<T> {
  if (notKept === undefined) return value as T;
  if (rebuild === undefined) throw notKept;
  return await rebuild({ attempt, token, createdAt, completedAt });
}

function checkFunction(
  name: "fn" | "work",
  fn: unknown,
  place = "fourth argument, after scope, key and payload",
): void {
  if (typeof fn === "function") return;
  throw new TypeError(`${name}: expected a function as the ${place}, got ${describe(fn)}.`);
}
