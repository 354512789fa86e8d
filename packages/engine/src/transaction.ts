import { requestOf } from "./begin.ts";
import type { ClaimScope } from "./claim-scope.ts";
import type { ClaimContext } from "./context.ts";
import { StoreError } from "./errors.ts";
import type { EventMap } from "./events.ts";
import type { Answer } from "./flights.ts";
import { derivedKey } from "./identity.ts";
import { type Call, checkWanted, type Replay } from "./meet.ts";
import type { Settings } from "./options.ts";
import { lapsedPolicyOf } from "./policies.ts";
import { type Answered, type Granted, untilKnown } from "./rounds.ts";
import { type AbortReason, RunAbort } from "./run-abort.ts";
import type { Claimed, ClaimRequest, RecordView, Transacted } from "./store.ts";
import { within } from "./timing.ts";
import { TransactionWork } from "./transaction-work.ts";

/** What a transaction of this call's own has recorded. */
export interface Committed {
  readonly kind: "committed";
  readonly claimed: Claimed;
  readonly value: unknown;
}

export type WorkOf = (tx: unknown, context: ClaimContext) => unknown;

/**
 * Claims the call's record, works and records the outcome in one transaction, or replays the outcome.
 *
 * @throws what `TransactionalEngine.transaction` throws, but for the errors about its arguments
 */
export async function transaction(
  scope: ClaimScope,
  call: Call,
  work: WorkOf,
): Promise<Replay | Committed> {
  // What a transaction leaves behind is whole or nothing, so that there is nothing to resume. Work that
  // others have left lapsed cannot be asked about in here.
  const policy = lapsedPolicyOf(scope.settings);
  const onLapsed = policy === "rerun" ? policy : "block";
  const settings: Settings = { ...scope.settings, steps: false, onLapsed };
  const own = { ...scope, settings };
  let run: Run | undefined;
  return await untilKnown<Committed>(own, call, {
    ask: async (owner, takeOver) => {
      run = new Run(own, call, requestOf(own, call, owner, takeOver), work);
      return await run.ask();
    },
    accept: async (granted) => await run?.over(granted),
  });
}

/** One try to get a call's record in a transaction, and what follows. */
class Run {
  readonly #scope: ClaimScope;
  readonly #call: Call;
  readonly #request: ClaimRequest;
  readonly #work: TransactionWork;
  #stops: readonly (() => void)[] = [];
  #abort: RunAbort | undefined;
  #unwanted: { readonly reason: unknown } | undefined;
  #over: Promise<Transacted> | undefined;

  constructor(scope: ClaimScope, call: Call, request: ClaimRequest, work: WorkOf) {
    this.#scope = scope;
    this.#call = call;
    this.#request = request;
    this.#work = new TransactionWork(scope, request, {
      run: (tx, claimed) => work(tx, this.#contextOf(claimed)),
      isCutOff: () => this.#abort?.hasReachedFunction === true,
    });
  }

  async ask(): Promise<Answered> {
    const { client, runtime, settings, events } = this.#scope;
    const { digest } = this.#call.id;
    const { storeTimeoutMs } = settings;
    const bound = (answer: Promise<Answer>) =>
      within(runtime, storeTimeoutMs, answer, "The call to claim");
    const sentAtMs = runtime.monotonicMs();
    try {
      const asked = await client.flights.ask(this.#request, () => this.#send(), bound);
      return { asked, sentAtMs };
    } catch (cause) {
      if (this.#unwanted !== undefined) throw this.#unwanted.reason;
      const error = cause instanceof StoreError ? cause : new StoreError("transact", cause);
      events.emit("store-error", () => ({ digest, operation: error.operation, error }));
      throw error;
    }
  }

  /** Waits for the end of the transaction whose claim was granted. */
  async over({ flight, outcome }: Granted): Promise<Committed | undefined> {
    const { client, events } = this.#scope;
    const { attempt, token, takenOver } = outcome;
    const about = { digest: this.#call.id.digest, attempt, token };
    events.emit(takenOver ? "taken-over" : "claimed", () => about);
    const answer = await this.#end(about).finally(() => {
      this.#stop();
      client.flights.land(flight);
    });
    const committed = answer && this.#work.committed(answer);
    if (committed === undefined) return undefined;
    const { claimed, value, completion, error } = committed;
    if (completion.status !== "succeeded") throw error;
    return { kind: "committed", claimed, value };
  }

  async #end(about: EventMap["claimed"]): Promise<Transacted | undefined> {
    const { events } = this.#scope;
    try {
      return await this.#over;
    } catch (cause) {
      if (this.#unwanted !== undefined) throw this.#unwanted.reason;
      if (this.#work.hasThrown(cause)) {
        events.emit("released", () => ({ ...about, ranMs: this.#work.ranMs }));
        throw cause;
      }
      const error = new StoreError("transact", cause);
      events.emit("store-error", () => ({ digest: about.digest, operation: "transact", error }));
      throw error;
    }
  }

  /** A replay opens no transaction: what is decided is read. */
  async #send(): Promise<Answer> {
    const { client, settings } = this.#scope;
    const view = await client.read(this.#call.id, settings.storeTimeoutMs);
    return outcomeIn(view) ?? (await this.#transact());
  }

  /** Answers once the claim was granted, or refused. */
  #transact(): Promise<Transacted> {
    const { client, settings } = this.#scope;
    const onError = settings.onError === undefined ? {} : { onError: this.#work.onError };
    return new Promise((resolve, reject) => {
      this.#over = this.#work.withEnd((run) => {
        const begun = (tx: unknown, claimed: Claimed) => {
          this.#checkWanted();
          resolve(claimed);
          return run(tx, claimed);
        };
        return client.transact(this.#request, begun, onError, settings.storeTimeoutMs);
      });
      // Calls that share the claim get this error as well: it is never the driver's own.
      this.#over.then(resolve, (cause) => {
        reject(this.#unwanted === undefined ? new StoreError("transact", cause) : cause);
      });
    });
  }

  /** That nobody wants it any more is no failure of the work. */
  #checkWanted(): void {
    try {
      checkWanted(this.#scope, this.#call);
    } catch (reason) {
      this.#unwanted = { reason };
      throw reason;
    }
  }

  #contextOf({ token, attempt }: Claimed): ClaimContext {
    const { lifetime, runtime, settings, events } = this.#scope;
    const { id } = this.#call;
    this.#stop();
    const abort = new RunAbort(token);
    this.#abort = abort;
    const abortFor = (reason: AbortReason) => {
      if (!abort.abort(reason)) return;
      events.emit("aborted", () => ({ digest: id.digest, attempt, token, reason }));
    };
    const stop = lifetime.onEnd(() => abortFor("engine-closed"));
    const { maxRunMs } = settings;
    this.#stops =
      maxRunMs === undefined
        ? [stop]
        : [stop, runtime.schedule(() => abortFor("ran-too-long"), maxRunMs)];
    return {
      token,
      attempt,
      get signal() {
        return abort.signal;
      },
      deriveKey: (name, options) => derivedKey(id, name, options),
    };
  }

  /** An earlier run of the work is over. */
  #stop(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }
}

/** What a record says to everybody, as a claim would be answered; nothing where it may be claimed. */
function outcomeIn(view: RecordView | undefined): Answer | undefined {
  if (view === undefined) return undefined;
  const { fingerprint, attempt, token, owner, createdAt, leaseRemainingMs = 0 } = view;
  if (view.state === "in-progress") {
    return { outcome: "in-progress", fingerprint, attempt, leaseRemainingMs };
  }
  const { status, body = "", completedAt = createdAt, expiresAt = completedAt } = view;
  if (status === undefined) return undefined;
  const times = { createdAt, completedAt, expiresAt };
  return { outcome: "completed", status, fingerprint, body, owner, token, attempt, ...times };
}
