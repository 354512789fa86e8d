import {
  OutcomeUnknownError,
  type PolicyEnd,
  type PolicyEndOptions,
  type TransactionalClaimHandle,
  type Written,
} from "@idemkit/engine";
import { classified } from "./classify.ts";
import { type Disposition, keptAs, policyOf, saysNothingDone } from "./disposition.ts";
import { HandlerTransaction, type Transacted } from "./handler-transaction.ts";
import { type HeaderList, type HeaderRules, keptHeaders } from "./headers.ts";
import { checkedResponse } from "./named-response.ts";
import type { HttpSettings, ResponseFacts } from "./options.ts";
import { type ProblemCode, problemResponse } from "./problems.ts";
import type { Report } from "./report.ts";
import { ResponseError } from "./response-error.ts";
import { type Decision, type IdempotencyState, type OfKey, RunningState } from "./state.ts";
import { keptOf, type StoredResponse } from "./stored-response.ts";
import { isWorthRetry, statusOfError } from "./thrown.ts";

/** A response that is sent in place of the handler's own. */
export interface Instead {
  /** A problem is idemkit's own, and written already: no serializer of the application may touch it. */
  readonly kind: "response" | "problem";
  readonly response: StoredResponse;
}

interface ErrorFacts {
  readonly isFrameworks: boolean;
  readonly keep?: (headers: HeaderList, rules: HeaderRules) => unknown;
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
  readonly #transaction: HandlerTransaction;
  #decision: Decision | undefined;
  #named: StoredResponse | undefined;
  #hasBegun = false;

  constructor(
    settings: HttpSettings<never>,
    ofKey: OfKey,
    claim: TransactionalClaimHandle<unknown, false>,
    report: Report,
  ) {
    this.#settings = settings;
    this.#claim = claim;
    this.#report = report;
    this.#transaction = new HandlerTransaction(claim, settings.maxBody, (response) =>
      keptOf(this.#keptPart(response, "record")),
    );
    this.state = new RunningState(ofKey, claim, {
      decide: (decision, response) => {
        this.#named = response && checkedResponse(response, settings.maxBody);
        this.#decision = decision;
      },
      begin: () => {
        this.#hasBegun = true;
      },
      transaction: (work) =>
        this.#transaction.run(work as (tx: unknown) => ReturnType<typeof work>),
    });
  }

  get maxBody(): number {
    return this.#settings.maxBody;
  }

  /** Gives the key back: the handler has not begun. */
  async abandon(): Promise<void> {
    await this.#attempt(() => this.#claim.release());
  }

  /**
   * Commits the response of a handler. Without a body it could not be kept.
   *
   * @param done resolves when the handler is done. Only a response that is recorded does not wait for that: with
   *   any other the key may be free at once, and a retry would run beside the rest of the handler
   * @returns the response to send, if that is not the handler's own
   */
  async recordResponse(
    response: StoredResponse,
    done?: Promise<void>,
  ): Promise<Instead | undefined> {
    const { decided: ending } = this.#transaction;
    const transacted = ending && (await ending);
    if (transacted !== undefined) return this.#afterTransaction(transacted);
    const facts = this.#factsOf(response);
    const { status } = facts;
    const disposition = this.#dispositionOf(facts);
    if (done !== undefined && disposition !== "record" && disposition !== "stub") {
      await done;
      // The handler may have decided meanwhile, or committed.
      return await this.recordResponse(response);
    }
    if (disposition !== undefined && (status < 500 || this.#decision !== undefined)) {
      return await this.#end(disposition, response);
    }
    const value = this.#valueOf(response, disposition);
    await this.#endByPolicy(new ResponseError(status, value), disposition, facts, { value });
    return undefined;
  }

  /**
   * Ends the claim of a handler that has thrown.
   *
   * @param response the response that the application's error handling makes of it
   * @param isFrameworks whether the framework's own class of HTTP errors has made it
   * @param keep makes the error as it is recorded, with the handler's headers that are kept. Without it the
   *   response is recorded
   * @returns the response to send, if that is not the response of the error handling
   */
  async recordError(
    error: unknown,
    response: StoredResponse,
    { isFrameworks, keep }: ErrorFacts,
  ): Promise<Instead | undefined> {
    const { decided: ending } = this.#transaction;
    const transacted = ending && (await ending);
    if (transacted !== undefined) {
      this.#report(error);
      return this.#afterTransaction(transacted);
    }
    const facts = { ...this.#factsOf(response), error };
    const decided = this.#decided(facts);
    const failure = keep?.(facts.headers, this.#settings.rules);
    if (this.#decision !== undefined && decided !== undefined) {
      const isFailure = decided === "record" && failure !== undefined && this.#named === undefined;
      if (!isFailure) return await this.#end(decided, response, error);
      await this.#attempt(() => this.#claim.fail(failure));
      return undefined;
    }
    const byOptions = decided ?? this.#settings.presetClassify?.(facts);
    if (byOptions === undefined && isFrameworks && this.#mayRelease(statusOfError(error))) {
      return await this.#end("release", response, error);
    }
    const isResponse = failure === undefined || decided === "stub";
    const outcome = isResponse ? { value: this.#valueOf(response, decided) } : { failure };
    if (await this.#endByPolicy(error, decided, facts, outcome)) return this.#leftOpen(error);
    return undefined;
  }

  /**
   * Commits that a handler is done whose response went out behind the framework's back: it does not run
   * again. Duplicates get the response that the handler has named, or a stub.
   */
  async recordUnseen(seen: Partial<StoredResponse> = {}): Promise<void> {
    const { decided: ending } = this.#transaction;
    const transacted = ending && (await ending);
    if (transacted !== undefined) return;
    const { status = 0, headers = [] } = seen;
    const facts = this.#factsOf({ status, headers });
    const decided = this.#decided(facts);
    if (status >= 500 && this.#decision === undefined) {
      const value = keptOf(this.#keptPart({ status, headers }, "stub"));
      await this.#endByPolicy(new ResponseError(status, value), decided, facts, { value });
      return;
    }
    // A preset decides by the status: a handler whose status was not seen counts as done.
    const byPreset = status === 0 ? undefined : this.#settings.presetClassify?.(facts);
    await this.#end(decided ?? byPreset ?? "stub", { status, headers });
  }

  #factsOf({ status, headers, body }: StoredResponse): ResponseFacts {
    const kept = keptHeaders(headers, this.#settings.rules);
    return { status, headers: kept, isWhole: body !== undefined };
  }

  /** By a decision, the preset, or the table of statuses. Undefined for 5xx, which is up to the policies. */
  #dispositionOf(facts: ResponseFacts): Disposition | undefined {
    const { status, isWhole } = facts;
    const decided = this.#decided(facts);
    if (decided !== undefined || status >= 500) return decided;
    const byTable = this.#mayRelease(status) ? "release" : keptAs(status, isWhole);
    return this.#settings.presetClassify?.(facts) ?? byTable;
  }

  /** The handler's own decision comes before that of `classify`. */
  #decided(facts: ResponseFacts): Disposition | undefined {
    const asked = this.#decision ?? classified(this.#settings.classify, facts, this.#report);
    if (asked !== "record" || this.#named !== undefined) return asked;
    return facts.isWhole ? "record" : "stub";
  }

  /** No status gives the key back once the handler may have had an effect elsewhere. */
  #mayRelease(status: number): boolean {
    return saysNothingDone(status) && !this.#hasBegun;
  }

  /**
   * Ends the claim as the engine ends that of a function that throws. `classify` comes before its `onError`, the
   * preset after it. Both decide as little about an abort or a step in doubt as a policy does.
   *
   * @returns whether the outcome was left open
   */
  async #endByPolicy(
    error: unknown,
    decided: Disposition | undefined,
    facts: ResponseFacts,
    outcome: Pick<PolicyEndOptions, "value" | "failure">,
  ): Promise<boolean> {
    const { on5xx, presetClassify } = this.#settings;
    const byDefault = on5xx ?? policyOf(presetClassify?.(facts));
    const policy = policyOf(decided);
    const options: PolicyEndOptions = {
      ...outcome,
      ...(byDefault !== undefined && { byDefault }),
      ...(policy !== undefined && { policy }),
    };
    const ended = await this.#attempt(() => this.#claim.endByPolicy(error, options));
    return ended !== undefined && "kind" in ended && ended.kind === "open";
  }

  #valueOf(response: StoredResponse, decided: Disposition | undefined): unknown {
    const isWhole = response.body !== undefined;
    const as = decided === "stub" ? "stub" : keptAs(response.status, isWhole);
    return keptOf(this.#keptPart(response, decided === "record" ? "record" : as));
  }

  #keptPart({ status, headers, body }: StoredResponse, as: "record" | "stub"): StoredResponse {
    const kept = keptHeaders(headers, this.#settings.rules);
    return { status, headers: kept, ...(as === "record" && body !== undefined && { body }) };
  }

  async #end(
    disposition: Disposition,
    response: StoredResponse,
    error?: unknown,
  ): Promise<Instead | undefined> {
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

  async #complete(response: StoredResponse, as: "record" | "stub"): Promise<Instead | undefined> {
    const isNamed = as === "record" && response === this.#named;
    try {
      const kept = keptOf(this.#keptPart(response, as));
      const { recorded, error } = await this.#claim.complete(kept);
      if (!recorded && error !== undefined) this.#report(error);
    } catch (error) {
      this.#report(error);
      if (error instanceof OutcomeUnknownError) return this.#problem("outcome-unknown");
    }
    return isNamed ? { kind: "response", response } : undefined;
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
  #leftOpen(error: unknown): Instead {
    this.#report(error);
    return this.#problem(isWorthRetry(error) ? "store-unavailable" : "outcome-unknown");
  }

  #problem(code: ProblemCode): Instead {
    const toRetry = { detail: INTERRUPTED, retryAfterMs: RETRY_AFTER_MS };
    const occurrence = code === "store-unavailable" ? toRetry : {};
    const response = problemResponse(code, this.#settings, occurrence);
    return { kind: "problem", response };
  }

  #afterTransaction(transacted: Transacted): Instead {
    if (transacted.kind === "open") return this.#problem("outcome-unknown");
    return { kind: "response", response: transacted.response };
  }
}
