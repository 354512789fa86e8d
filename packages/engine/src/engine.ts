import type { ClaimHandle, TransactionalClaimHandle } from "./claim-handle.ts";
import type { ClaimContext, Context, TransactionalContext } from "./context.ts";
import type { EventName, Listener } from "./events.ts";
import type { DeriveKeyOptions, Scope } from "./identity.ts";
import type { JsonLike, Payload } from "./json-like.ts";
import type { Line, LineResult, LinesContext, NewLine, Verdict } from "./lines.ts";
import type { Decision, InspectedRecord, SettleOptions } from "./operators.ts";
import type { CallOptions, ExecuteOptions, OperationOptions } from "./options.ts";
import type { NowOrLater, OpenState, Store, TransactionalStore } from "./store.ts";

/** What a call got: its own result, or the recorded one. Times are epoch ms, the store's clock. */
export type Outcome<T> = Executed<T> | Replayed<T>;

interface OfAttempt<T> {
  readonly value: T;
  /** Which try gave the value, counted from 1. */
  readonly attempt: number;
  /** The fencing number of that try. */
  readonly token: number;
  readonly createdAt: number;
}

export interface Executed<T> extends OfAttempt<T> {
  readonly replayed: false;
  /**
   * `false`: the value is real, but whether the store has it is not known. Duplicates get it if it
   * has, and are otherwise treated as if this process had died.
   */
  readonly recorded: boolean;
  readonly completedAt?: never;
  readonly expiresAt?: never;
}

export interface Replayed<T> extends OfAttempt<T> {
  readonly replayed: true;
  readonly recorded: true;
  readonly completedAt: number;
  /** When the outcome expires: a call with the same key runs anew after it. */
  readonly expiresAt: number;
}

/** What `begin` answers: the recorded outcome, or a claim to run under. */
export type Begun<Handle extends ClaimHandle = ClaimHandle> =
  | ({ readonly kind: "replay" } & Replayed<unknown>)
  | { readonly kind: "execute"; readonly claim: Handle };

/** Which page of the open records to list. */
export interface ListOptions {
  readonly state: OpenState;
  /** The `next` of the page before. */
  readonly after?: string;
  /** 1 to 1,000. Default: 100. */
  readonly limit?: number;
}

/**
 * Runs operations once per key. Immutable: {@link Engine.with} makes another one. `C` is what a function
 * gets to know and to do.
 */
export interface Engine<C extends Context = Context> {
  /** The JSON Pointers to members that do not count when payloads are compared: the option `exclude`. */
  readonly exclude: readonly string[];

  /**
   * Runs `fn` once for this key in this scope, and gives every duplicate the first outcome.
   *
   * @param scope whom the key belongs to, such as `[tenant, user, 'place-order']`; at most 1,024
   *   bytes of UTF-8 once joined
   * @param key what tells this operation from others in the scope: 1 to 255 bytes of UTF-8
   * @param payload the content that the key stands for: a JSON-like value, text or bytes, or null.
   *   It is hashed before `fn` runs, and not stored
   * @param fn runs at most once at a time per scope and key. Its result must survive JSON
   * @throws ConflictError, InProgressError, OutcomeUnknownError, ReplayedError,
   *   ResultUnavailableError, StoreError, EngineClosedError, InvalidScopeError, InvalidKeyError:
   *   then `fn` did not run in this call
   * @throws LeaseLostError if `fn` ran and its late result was refused
   * @throws OutcomeUnknownError with `value` if `fn` returned while one of its steps was in doubt
   * @throws TypeError for a payload or an option that is none; the signal's reason; or the error that
   *   `fn` throws, as it is. If it was aborted, its outcome is open: `inspect` or a retry with the same key shows it
   */
  execute<P, T>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    fn: (context: C) => (T & JsonLike<T>) | Promise<T & JsonLike<T>>,
    options?: ExecuteOptions<T>,
  ): Promise<Outcome<T>>;

  /**
   * The first half of {@link execute}, for code that cannot pass its work as one function. The caller
   * must call exactly one of the claim's endings. The engine's `onError` applies to `endByPolicy` alone.
   */
  begin<P>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    options?: Omit<CallOptions, "onError">,
  ): Promise<Begun>;

  /**
   * Does each line of a batch once: claims the lines, runs `fn` once on those that are new, and answers
   * for each what became of it, in the order given. A line that comes twice in a batch is one line.
   *
   * A batch that died half-way is resumed under at-least-once; otherwise its open lines are `unknown`.
   * To do lines exactly once with what they write, run this on an engine whose store is bound to your
   * transaction: `createEngine({ store: store.bind(tx) })`.
   *
   * With `onDuplicate: { waitMs }` it waits, once its own lines are done, for those that others do.
   *
   * @param lines 1 to 10,000 of them
   * @param fn gets the new lines, and returns a result for each; those that it has passed to
   *   `context.done` need none. The outcome of a line without a result is left open. It is not called
   *   if no line is new
   * @throws StoreError, EngineClosedError, InvalidScopeError, InvalidKeyError, TypeError, the signal's
   *   reason: then `fn` did not run; TypeError if `fn` returns no list of results. Whatever `fn` throws: then `onError` says what became of the lines
   *   that were not done, but that in a bound transaction nothing more is written: roll it back
   */
  executeMany<P, T>(
    scope: Scope,
    lines: readonly Line<P & Payload<P>>[],
    fn: (
      lines: readonly NewLine<P>[],
      context: LinesContext<T & JsonLike<T>>,
    ) => readonly LineResult<T & JsonLike<T>>[] | Promise<readonly LineResult<T & JsonLike<T>>[]>,
    options?: CallOptions,
  ): Promise<readonly Verdict<T>[]>;

  /** An engine on the same store with other defaults. Closing it does not close this one. */
  with(options: OperationOptions): Engine<C>;

  /** What {@link ClaimContext.deriveKey} answers in a run of this key: for operators and reconciliation. */
  deriveKey(scope: Scope, key: string, name: string, options?: DeriveKeyOptions): string;

  /** Hears of one kind of event. The answered function ends it. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void;

  /** Shows a record, or `undefined` where there is none: its result or error in clear. */
  inspect(scope: Scope, key: string): Promise<InspectedRecord | undefined>;

  /** The same by digest, which is what events carry. */
  inspect(record: { readonly digest: string }): Promise<InspectedRecord | undefined>;

  /**
   * Decides an outcome that is open: one that lapsed or is unknown, or, with `overrule`, one whose function
   * still runs. A released record keeps its steps: one that was begun is in doubt for the next run.
   *
   * @throws SettleRefusedError if the record is not open, or another outcome came first
   */
  settle(scope: Scope, key: string, decision: Decision, options?: SettleOptions): Promise<void>;

  /** Lists open records, in pages. It may scan the whole store. */
  list(
    options: ListOptions,
  ): Promise<{ readonly records: readonly InspectedRecord[]; readonly next?: string }>;

  /**
   * Drops a record, whatever its state: the next caller runs, and whoever still runs is fenced out.
   * Answers whether there was one, and it was still the same when it was dropped.
   */
  remove(scope: Scope, key: string): Promise<boolean>;

  /**
   * Deletes expired records, in batches with pauses in between, and answers how many. Records whose
   * outcome is open stay.
   *
   * @param options.limit at most so many, 1 to 10,000,000. Default: 100,000
   */
  purge(options?: { readonly limit?: number }): Promise<number>;

  /**
   * Refuses new calls, waits for running ones and for claims that are being given back, then stops
   * all timers. A function that still runs after graceMs (0 to 86,400,000, default 10,000) is no longer
   * renewed, and its context's `signal` is aborted. Its outcome stays open unless it still returns. A call
   * whose claim cannot have a result by then rejects with EngineClosedError before its claim is sent.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** An engine on a store in a database with transactions. `Tx` is the driver's own transaction. */
export interface TransactionalEngine<Tx, IsSync extends boolean>
  extends Engine<TransactionalContext<Tx, IsSync>> {
  /**
   * Runs `work` in a transaction of the store's database and records its result in the same commit, so
   * that what it writes there happens exactly once per key. Every duplicate gets the first result.
   *
   * Where `work` throws, all is rolled back and nothing is recorded: the next caller runs. With
   * `onError: 'record'` the failure is the outcome, and what `work` wrote is undone. While it runs, it
   * keeps a connection, and the record's row locked; a transaction that is idle for longer than
   * `leaseMs` is ended by servers that can.
   *
   * @param work writes through `tx`. It may run more than once, after a deadlock or a lost answer; what
   *   the earlier runs have written is rolled back. On SQLite it must not answer a promise
   * @throws as {@link Engine.execute} does, but LeaseLostError: a transaction that lost its record is
   *   not committed, and whoever has it decides. StoreError where the database failed: if its cause is
   *   an UnclearCommitError, it may have committed; the same key again tells
   */
  transaction<P, T>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    work: (tx: Tx, context: ClaimContext) => NowOrLater<T & JsonLike<T>, IsSync>,
    options?: ExecuteOptions<T>,
  ): Promise<Outcome<T>>;

  begin<P>(
    scope: Scope,
    key: string,
    payload: P & Payload<P>,
    options?: Omit<CallOptions, "onError">,
  ): Promise<Begun<TransactionalClaimHandle<Tx, IsSync>>>;

  with(options: OperationOptions): TransactionalEngine<Tx, IsSync>;
}

/** The engine that a store makes possible. */
export type EngineOn<S extends Store> =
  S extends TransactionalStore<infer Tx, infer IsSync> ? TransactionalEngine<Tx, IsSync> : Engine;
