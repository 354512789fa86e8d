import type { ServerResponse } from "node:http";
import type { ClaimHandle, Written } from "@idemkit/engine";
import { DISPOSITIONS, type Disposition, dispositionOf } from "./disposition.ts";
import { type HeaderList, headersSince, type OutgoingHeaders } from "./headers.ts";
import type { HttpSettings, ResponseFacts } from "./options.ts";
import type { Report } from "./report.ts";
import { type Decision, type IdempotencyState, type OfKey, RunningState } from "./state.ts";
import { keptOf, type StoredBody, type StoredResponse, typeOf } from "./stored-response.ts";
import { describedError, statusOfError } from "./thrown.ts";

/** Whether a response is over: that of HTTP/2 does not tell itself. */
export function isClosed(raw: ServerResponse): boolean {
  const { stream } = raw as { readonly stream?: { readonly closed: boolean } };
  return raw.closed ?? stream?.closed ?? false;
}

/**
 * A request whose handler runs under its key. Exactly one of its ends is to be called, once. None of
 * them throws: whatever becomes of the record, the answer is real and has to be sent. What fails is
 * reported.
 */
export class ProtectedRun {
  /** What the handler gets. */
  readonly state: IdempotencyState;
  readonly #settings: HttpSettings<never>;
  readonly #claim: ClaimHandle;
  readonly #report: Report;
  #decision: Decision | undefined;

  constructor(settings: HttpSettings<never>, ofKey: OfKey, claim: ClaimHandle, report: Report) {
    this.#settings = settings;
    this.#claim = claim;
    this.#report = report;
    this.state = new RunningState(ofKey, claim, (decision) => {
      this.#decision = decision;
    });
  }

  /** The most bytes of a body that are kept. */
  get maxBody(): number {
    return this.#settings.maxBody;
  }

  /** Which of the headers that were set since `before` are kept. */
  keptHeaders(before: OutgoingHeaders, after: OutgoingHeaders): HeaderList {
    return headersSince(before, after, this.#settings.rules);
  }

  /** Writes what the handler has answered, before it is sent. Without a body it could not be kept. */
  async end(response: StoredResponse): Promise<void> {
    const { status, headers, body } = response;
    const disposition = this.#dispositionOf({ status, headers, isWhole: body !== undefined });
    await this.#write(disposition, keptOf(disposition === "stub" ? { status, headers } : response));
  }

  /**
   * Writes what the handler has thrown: the error is its outcome, and duplicates get it to be answered
   * by the same error handling.
   *
   * @param headers those that it had set until then
   * @param otherwise the status of an error that has none
   */
  async endThrown(error: unknown, headers: HeaderList, otherwise = 500): Promise<void> {
    const status = statusOfError(error, otherwise);
    const disposition = this.#dispositionOf({ status, headers, isWhole: true, error });
    if (disposition === "release" || disposition === "hold") {
      await this.#write(disposition, error);
    } else {
      await this.#attempt(() => this.#claim.fail(describedError(error, headers, status)));
    }
  }

  /**
   * Writes what the handler has answered after somebody else's response was out.
   *
   * @param own what it has set itself; frameworks add a type only to what they send
   */
  async endLate(
    own: { readonly status: number; readonly headers: OutgoingHeaders },
    body: StoredBody | undefined,
  ): Promise<void> {
    const headers = this.keptHeaders({}, own.headers);
    const type = body && !("content-type" in own.headers) ? typeOf(body) : undefined;
    await this.end({
      status: own.status,
      headers: type === undefined ? headers : [...headers, ["content-type", type]],
      ...(body && { body }),
    });
  }

  /** Writes that the handler is done, and that its response went out unseen: it does not run again. */
  async endUnseen(seen: Partial<StoredResponse> = {}): Promise<void> {
    const stub = { status: seen.status ?? 0, headers: seen.headers ?? [] };
    await this.#write(this.#decision ?? "stub", keptOf(stub));
  }

  /**
   * The same for a handler that answers by itself, behind the framework's back: its response may take
   * longer than it does.
   */
  endWith(raw: ServerResponse, before: OutgoingHeaders): void {
    const end = () => {
      const headers = this.keptHeaders(before, raw.getHeaders() as OutgoingHeaders);
      void this.endUnseen(raw.headersSent ? { status: raw.statusCode, headers } : {});
    };
    if (raw.headersSent || isClosed(raw)) end();
    else raw.once("close", end);
  }

  /** Gives the key back: the handler was not even started. */
  async endUnstarted(): Promise<void> {
    await this.#attempt(() => this.#claim.release());
  }

  /** Leaves it to an operator: nobody knows whether the handler is done. */
  async endOpen(): Promise<void> {
    await this.#attempt(() => this.#claim.hold(undefined));
  }

  /** Whether such a response would give the key back. */
  isGivenBackBy({ body, ...facts }: StoredResponse): boolean {
    return this.#dispositionOf({ ...facts, isWhole: body !== undefined }) === "release";
  }

  #dispositionOf(facts: ResponseFacts): Disposition {
    const { isWhole, status } = facts;
    if (this.#decision === "record") return isWhole ? "record" : "stub";
    if (this.#decision !== undefined) return this.#decision;
    const asked = this.#classified(facts);
    if (asked === "record" && !isWhole) return "stub";
    return asked ?? dispositionOf(status, isWhole, this.#on5xx);
  }

  /** A `classify` that throws, or answers what is none, has decided nothing. */
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

  get #on5xx() {
    const byGuarantee = this.#claim.guarantee === "at-least-once" ? "release" : "record";
    return this.#settings.on5xx ?? byGuarantee;
  }

  async #write(disposition: Disposition, value: unknown): Promise<void> {
    await this.#attempt(() => {
      switch (disposition) {
        case "release":
          return this.#claim.release();
        case "hold":
          return this.#claim.hold(value);
        default:
          return this.#claim.complete(value);
      }
    });
  }

  async #attempt(end: () => Promise<Written>): Promise<void> {
    try {
      const { recorded, error } = await end();
      if (!recorded && error !== undefined) this.#report(error);
    } catch (error) {
      this.#report(error);
    }
  }
}
