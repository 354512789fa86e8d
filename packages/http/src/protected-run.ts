import {
  OutcomeUnknownError,
  type PolicyEnd,
  RunAbortedError,
  StoreError,
  type TransactionalClaimHandle,
  type Written,
} from "@idemkit/engine";
import { DISPOSITIONS, type Disposition, keptAs, saysNothingDone } from "./disposition.ts";
import { type HeaderList, keptHeaders } from "./headers.ts";
import { checkedResponse, type NamedResponse } from "./named-response.ts";
import type { HttpSettings, ResponseFacts } from "./options.ts";
import { type ProblemCode, problemResponse } from "./problems.ts";
import type { Report } from "./report.ts";
import { ResponseError } from "./response-error.ts";
import { type Decision, type IdempotencyState, type OfKey, RunningState } from "./state.ts";
import { keptOf, type StoredResponse } from "./stored-response.ts";
import { isUnclear } from "./thrown.ts";

/** What a transaction of the handler has decided: its response, or that nobody knows. */
type Transacted =
  | { readonly kind: "committed"; readonly response: StoredResponse }
  | { readonly kind: "open" };

interface ErrorFacts {
  readonly isFrameworks: boolean;
  readonly keep?: (headers: HeaderList) => unknown;
}

/** An operation that was interrupted is asked for again after this time. */
const RETRY_AFTER_MS = 1_000;

const INTERRUPTED =
  "The request was interrupted, and may have been carried out in part. Try again with the same key.";

/**
 * A request whose handler runs under its key. A binding calls exactly one of the `record…` functions, once,
 * with the response that the handler has made, and sends the response that it returns, or the handler's own.
 * None of them throws: the handler is done, and its client is owed a response. Failures are reported.
 */
export class ProtectedRun {
  /** The handler's view of it. */
  readonly state: IdempotencyState;
  readonly #settings: HttpSettings<never>;
  readonly #claim: TransactionalClaimHandle<unknown, false>;
  readonly #report: Report;
  #decision: Decision | undefined;
  #named: StoredResponse | undefined;
  #hasBegun = false;
  #transacting: Promise<Transacted | undefined> | undefined;

  constructor(
    settings: HttpSettings<never>,
    ofKey: OfKey,
    claim: TransactionalClaimHandle<unknown, false>,
    report: Report,
  ) {
    this.#settings = settings;
    this.#claim = claim;
    this.#report = report;
    this.state = new RunningState(ofKey, claim, {
      decide: (decision, response) => {
        this.#named = response && checkedResponse(response, settings.maxBody);
        this.#decision = decision;
      },
      begin: () => {
        this.#hasBegun = true;
      },
      transaction: (work) => this.#transact(work as (tx: unknown) => ReturnType<typeof work>),
    });
  }

  /** The most bytes of a body that are kept. */
  get maxBody(): number {
    return this.#settings.maxBody;
  }

  /** Gives the key back: the handler has not begun. */
  async abandon(): Promise<void> {
    await this.#attempt(() => this.#claim.release());
  }

  /**
   * Whether such a response is the outcome, whatever the handler does after it. Otherwise the handler has to be
   * done first: the key may be free as soon as the response is recorded.
   */
  records(response: StoredResponse): boolean {
    const disposition = this.#dispositionOf(this.#factsOf(response));
    return disposition === "record" || disposition === "stub";
  }

  /**
   * Commits the response of a handler that has returned. Without a body it could not be kept.
   *
   * @returns the response to send, if that is not the handler's own
   */
  async recordResponse(response: StoredResponse): Promise<StoredResponse | undefined> {
    const transacted = await this.#transacting;
    if (transacted !== undefined) return this.#afterTransaction(transacted);
    const { status } = response;
    const facts = this.#factsOf(response);
    const disposition = this.#dispositionOf(facts);
    if (disposition !== undefined) return await this.#end(disposition, response);
    const kept = keptOf(this.#keptPart(response, keptAs(status, facts.isWhole)));
    const error = new ResponseError(status, kept);
    await this.#attempt(() => this.#claim.endByPolicy(error, { ...this.#byDefault, value: kept }));
    return undefined;
  }

  /**
   * Ends the claim of a handler that has thrown.
   *
   * @param response the response that the application's error handling makes of it
   * @param isFrameworks whether the framework's own class of HTTP errors has made it
   * @param keep makes the error as it is recorded, with the handler's headers that are kept. Without it the
   *   response is recorded
   * @returns the response to send, if that is not what the error handling makes
   */
  async recordError(
    error: unknown,
    response: StoredResponse,
    { isFrameworks, keep }: ErrorFacts,
  ): Promise<StoredResponse | undefined> {
    const transacted = await this.#transacting;
    if (transacted !== undefined) {
      this.#report(error);
      return this.#afterTransaction(transacted);
    }
    const facts = { ...this.#factsOf(response), error };
    const decided = this.#decided(facts);
    const failure = keep?.(facts.headers);
    if (decided === "record" && failure !== undefined && this.#named === undefined) {
      await this.#attempt(() => this.#claim.fail(failure));
      return undefined;
    }
    if (decided !== undefined) return await this.#end(decided, response, error);
    if (isFrameworks && this.#mayRelease(response.status)) {
      return await this.#end("release", response, error);
    }
    const value = keptOf(this.#keptPart(response, keptAs(response.status, facts.isWhole)));
    const ended = await this.#attempt(() =>
      this.#claim.endByPolicy(error, {
        ...this.#byDefault,
        ...(failure === undefined ? { value } : { failure }),
      }),
    );
    return ended !== undefined && "kind" in ended && ended.kind === "open"
      ? this.#leftOpen(error)
      : undefined;
  }

  /**
   * Commits that a handler is done whose response went out behind the framework's back: it does not run
   * again. Duplicates get the response that the handler has named, or a stub.
   */
  async recordUnseen(seen: Partial<StoredResponse> = {}): Promise<StoredResponse | undefined> {
    const transacted = await this.#transacting;
    if (transacted !== undefined) return this.#afterTransaction(transacted);
    const { status = 0, headers = [] } = seen;
    return await this.#end(this.#decision ?? "stub", { status, headers });
  }

  #factsOf({ status, headers, body }: StoredResponse): ResponseFacts {
    const kept = keptHeaders(headers, this.#settings.rules);
    return { status, headers: kept, isWhole: body !== undefined };
  }

  /** By what was decided, or by the table of statuses. Nothing for 5xx, which is up to the policies. */
  #dispositionOf(facts: ResponseFacts): Disposition | undefined {
    const { status, isWhole } = facts;
    const decided = this.#decided(facts);
    if (decided !== undefined) return decided;
    if (this.#mayRelease(status)) return "release";
    return status >= 500 ? undefined : keptAs(status, isWhole);
  }

  /** The handler's own decision comes before that of `classify`. */
  #decided(facts: ResponseFacts): Disposition | undefined {
    const asked = this.#decision ?? this.#classified(facts);
    if (asked !== "record" || this.#named !== undefined) return asked;
    return facts.isWhole ? "record" : "stub";
  }

  /** A `classify` that throws, or returns no disposition, has decided nothing. */
  #classified(facts: ResponseFacts): Disposition | undefined {
    const { classify } = this.#settings;
    try {
      const asked = classify?.(facts);
      if (asked === undefined || DISPOSITIONS.includes(asked)) return asked;
      throw new TypeError(`classify: expected ${DISPOSITIONS.join(", ")} or undefined.`);
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  /** No status gives the key back once the handler may have had an effect elsewhere. */
  #mayRelease(status: number): boolean {
    return saysNothingDone(status) && !this.#hasBegun;
  }

  get #byDefault() {
    const { on5xx } = this.#settings;
    return on5xx === undefined ? {} : { byDefault: on5xx };
  }

  #keptPart({ status, headers, body }: StoredResponse, as: "record" | "stub"): StoredResponse {
    const kept = keptHeaders(headers, this.#settings.rules);
    return { status, headers: kept, ...(as === "record" && body !== undefined && { body }) };
  }

  async #end(
    disposition: Disposition,
    response: StoredResponse,
    error?: unknown,
  ): Promise<StoredResponse | undefined> {
    switch (disposition) {
      case "release":
        await this.#attempt(() => this.#claim.release());
        return undefined;
      case "hold": {
        const evidence = error ?? keptOf(this.#keptPart(response, "record"));
        await this.#attempt(() => this.#claim.hold(evidence));
        return undefined;
      }
      default:
        return await this.#complete(this.#named ?? response, disposition);
    }
  }

  async #complete(
    response: StoredResponse,
    as: "record" | "stub",
  ): Promise<StoredResponse | undefined> {
    const instead = as === "record" && response === this.#named ? response : undefined;
    try {
      const kept = keptOf(this.#keptPart(response, as));
      const { recorded, error } = await this.#claim.complete(kept);
      if (!recorded && error !== undefined) this.#report(error);
    } catch (error) {
      this.#report(error);
      if (error instanceof OutcomeUnknownError) return this.#problem("outcome-unknown");
    }
    return instead;
  }

  async #attempt<T extends Written | PolicyEnd>(end: () => Promise<T>): Promise<T | undefined> {
    try {
      const written = await end();
      if (!written.recorded && written.error !== undefined) this.#report(written.error);
      return written;
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  /** The client of a run whose outcome was left open is not shown an error as if that were the outcome. */
  #leftOpen(error: unknown): StoredResponse {
    this.#report(error);
    const isToRetry = error instanceof StoreError || error instanceof RunAbortedError;
    return this.#problem(isToRetry ? "store-unavailable" : "outcome-unknown");
  }

  #problem(code: ProblemCode): StoredResponse {
    const isToRetry = code === "store-unavailable";
    return problemResponse(code, this.#settings, {
      ...(isToRetry && { detail: INTERRUPTED, retryAfterMs: RETRY_AFTER_MS }),
    });
  }

  #afterTransaction(transacted: Transacted): StoredResponse {
    return transacted.kind === "committed" ? transacted.response : this.#problem("outcome-unknown");
  }

  async #transact(
    work: (tx: unknown) => NamedResponse | Promise<NamedResponse>,
  ): Promise<NamedResponse> {
    let made: { readonly named: NamedResponse; readonly response: StoredResponse } | undefined;
    const commit = (named: NamedResponse) => {
      const response = checkedResponse(named, this.#settings.maxBody);
      made = { named, response };
      return keptOf(this.#keptPart(response, "record")) as never;
    };
    const running = this.#claim.transaction((tx) => {
      const came = work(tx);
      // The work of a synchronous driver must not turn into a promise.
      return came instanceof Promise ? came.then(commit) : commit(came);
    });
    this.#transacting = running.then(
      () => made && { kind: "committed", response: made.response },
      (error: unknown) => (isUnclear(error) ? { kind: "open" } : undefined),
    );
    await running;
    return (made as NonNullable<typeof made>).named;
  }
}
