import { encodeError, encodeEvidence, encodeValue } from "./body.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { policyFor } from "./policies.ts";
import type { Claimed, ClaimRequest, Completion, Status, Transacted } from "./store.ts";
import { TimedOutError } from "./timing.ts";
import { UnclearCommitError } from "./unclear-commit.ts";

/** How a run of the work ended, and what was to be recorded of it. */
interface Ended {
  readonly claimed: Claimed;
  readonly completion: Completion;
  readonly value?: unknown;
  /** Why the value itself is not in the record, where it is not. */
  readonly notKeptBecause?: string | undefined;
  readonly error?: unknown;
}

type Run = (tx: unknown, claimed: Claimed) => Completion | Promise<Completion>;

/** The work of the user's. */
interface Work {
  readonly run: (tx: unknown, claimed: Claimed) => unknown;
  /** Whether the engine's abort may be why it throws. */
  readonly isCutOff: () => boolean;
}

/**
 * A function of the user's that runs in a transaction, perhaps more than once, and what came of its
 * last run.
 */
export class TransactionWork {
  readonly #scope: ClaimScope;
  readonly #request: ClaimRequest;
  readonly #work: Work;
  #ended: Ended | undefined;
  #isGivenUp = false;
  #thrown: { readonly error: unknown } | undefined;
  #begunAtMs = 0;
  #onEnd: () => void = () => undefined;
  #onBegin: () => void = () => undefined;

  constructor(scope: ClaimScope, request: ClaimRequest, work: Work) {
    this.#scope = scope;
    this.#request = request;
    this.#work = work;
  }

  get ranMs(): number {
    return this.#scope.runtime.monotonicMs() - this.#begunAtMs;
  }

  /**
   * What the last run has ended in, if an answer says that it was committed, now or by a round whose
   * answer was lost. An operator writes in the owner's name as well: what is recorded has to be that.
   */
  committed(answer: Transacted): Ended | undefined {
    const ended = this.#ended;
    if (ended === undefined || !isOf(answer, ended.completion)) return undefined;
    this.#emit(ended);
    return ended;
  }

  /** Whether an error is the function's own, and not the store's. */
  hasThrown(error: unknown): boolean {
    return this.#thrown !== undefined && this.#thrown.error === error;
  }

  /** A driver that knows no promises gets the completion at once. */
  readonly #run: Run = (tx, claimed) => {
    if (this.#isGivenUp) throw new TimedOutError("Nobody waits for this transaction any more.");
    this.#begunAtMs = this.#scope.runtime.monotonicMs();
    this.#ended = undefined;
    this.#thrown = undefined;
    this.#onBegin();
    let value: unknown;
    try {
      value = this.#work.run(tx, claimed);
    } catch (error) {
      throw this.#noted(error);
    }
    if (!isPromise(value)) return this.#done(value, claimed);
    return value.then(
      (result) => this.#done(result, claimed),
      (error: unknown) => {
        throw this.#noted(error);
      },
    );
  };

  /**
   * The completion for an error, once its writes are undone. If the abort may be why the work throws, its
   * effects outside of the database are unknown, unless a function decides.
   */
  readonly onError = (error: unknown, claimed: Claimed): Completion | undefined => {
    const { settings } = this.#scope;
    if (!this.hasThrown(error)) return undefined;
    const policy = policyFor(error, settings);
    if (policy === "release") return undefined;
    this.#thrown = undefined;
    const isDecided = typeof settings.onError === "function" || !this.#work.isCutOff();
    if (policy === "record" && isDecided)
      return this.#end("failed", encodeError(error), { claimed, error });
    const body = encodeEvidence(error, settings.maxResultBytes);
    return this.#end("unknown", body, { claimed, error });
  };

  /**
   * The end of a transaction that runs the work. Later than so long after the work's own end nobody
   * waits for it.
   */
  withEnd(transact: (run: Run) => Promise<Transacted>): Promise<Transacted> {
    const { runtime, settings } = this.#scope;
    const { storeTimeoutMs } = settings;
    return new Promise((resolve, reject) => {
      let cancel = () => {};
      this.#onBegin = () => cancel();
      this.#onEnd = () => {
        const late = `The transaction's end took longer than ${storeTimeoutMs} ms.`;
        const unclear = () => {
          this.#isGivenUp = true;
          reject(new UnclearCommitError(new TimedOutError(late)));
        };
        cancel = runtime.schedule(unclear, storeTimeoutMs);
      };
      const settle = (act: () => void) => {
        cancel();
        act();
      };
      transact(this.#run).then(
        (answer) => settle(() => resolve(answer)),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  #emit({ claimed: { attempt, token }, completion: { status }, notKeptBecause }: Ended): void {
    const { events } = this.#scope;
    const about = { digest: this.#request.id.digest, attempt, token };
    const { ranMs } = this;
    if (status === "failed") events.emit("failed", () => ({ ...about, ranMs }));
    else if (status === "unknown") events.emit("unknown", () => ({ ...about, reason: "held" }));
    else {
      const why = notKeptBecause === undefined ? {} : { notKeptBecause };
      events.emit("completed", () => ({ ...about, ranMs, ...why }));
    }
  }

  #noted(error: unknown): unknown {
    this.#thrown = { error };
    return error;
  }

  #done(value: unknown, claimed: Claimed): Completion {
    const { maxResultBytes } = this.#scope.settings;
    const { body, notKeptBecause } = encodeValue(value, maxResultBytes);
    return this.#end("succeeded", body, { claimed, value, notKeptBecause });
  }

  #end(status: Status, body: string, how: Omit<Ended, "completion">): Completion {
    const { id, owner, retentionMs } = this.#request;
    const completion = { id, owner, token: how.claimed.token, status, body, retentionMs };
    this.#ended = { completion, ...how };
    this.#onEnd();
    return completion;
  }
}

/** Whether this completion is what was committed. */
function isOf(answer: Transacted, { owner, status, body }: Completion): boolean {
  if (answer.outcome !== "completed") return answer.outcome === "claimed";
  return answer.owner === owner && answer.status === status && answer.body === body;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === "object" && value !== null && "then" in value;
}
