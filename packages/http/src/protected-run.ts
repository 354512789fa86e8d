import type { ServerResponse } from "node:http";
import type { ClaimHandle, Written } from "@idemkit/engine";
import { type Disposition, dispositionOf } from "./disposition.ts";
import type { HeaderList } from "./headers.ts";
import type { HttpSettings } from "./options.ts";
import { type Decision, type IdempotencyState, type OfKey, runningState } from "./state.ts";
import { encodeResponse, type StoredResponse } from "./stored-response.ts";
import { describedError, statusOfError } from "./thrown.ts";

/** A request whose handler runs under its key. Exactly one of its ends is to be called, once. */
export class ProtectedRun {
  /** What the handler gets. */
  readonly state: IdempotencyState;
  readonly #settings: HttpSettings<never>;
  readonly #claim: ClaimHandle;
  readonly #report: (error: unknown) => void;
  #decision: Decision | undefined;

  constructor(
    settings: HttpSettings<never>,
    ofKey: OfKey,
    claim: ClaimHandle,
    report: (error: unknown) => void,
  ) {
    this.#settings = settings;
    this.#claim = claim;
    this.#report = report;
    this.state = runningState(ofKey, claim, (decision) => {
      this.#decision = decision;
    });
  }

  /** Which headers of an answer may be kept. */
  get headerRules() {
    return this.#settings.rules;
  }

  /** The most bytes of a body that are kept. */
  get maxBody(): number {
    return this.#settings.maxBody;
  }

  /** Whether the key would be given back, or left open, for such a response. */
  isLeftOpenBy(response: StoredResponse): boolean {
    const disposition = this.#dispositionOf(response.status, response, undefined);
    return disposition === "release" || response.status >= 500;
  }

  /**
   * Writes what the handler has answered, before it is sent. Whatever becomes of that, the answer is
   * real and has to be sent: it never throws, and what fails is reported.
   *
   * @param response without a body where that could not be kept
   */
  async end(response: StoredResponse): Promise<void> {
    const disposition = this.#dispositionOf(response.status, response, undefined);
    const { body: _, ...stub } = response;
    await this.#write(disposition, {
      record: () => this.#claim.complete(encodeResponse(response)),
      stub: () => this.#claim.complete(encodeResponse(stub)),
      hold: () => this.#claim.hold(encodeResponse(response)),
    });
  }

  /**
   * The same for a handler that is done, and whose response was sent without having been seen.
   *
   * @param status where it is known
   */
  async endUnseen(status?: number): Promise<void> {
    const stub = { status: status ?? 0, headers: [] };
    const keep = () => this.#claim.complete(encodeResponse(stub));
    const hold = () => this.#claim.hold(encodeResponse(stub));
    const decision = this.#decision === "record" ? undefined : this.#decision;
    await this.#write(decision ?? "stub", { record: keep, stub: keep, hold });
  }

  /**
   * The same for a handler that answers by itself, behind the framework's back: its response may take
   * longer than it does.
   */
  endWith(raw: ServerResponse): void {
    const end = () => void this.endUnseen(raw.headersSent ? raw.statusCode : undefined);
    if (raw.headersSent || raw.closed) end();
    else raw.once("close", end);
  }

  /**
   * The same for what the handler has thrown: the error is its outcome, and duplicates get it to be
   * answered by the same error handling.
   *
   * @param headers those that it had set until then
   */
  async endThrown(error: unknown, headers: HeaderList): Promise<void> {
    const status = statusOfError(error);
    const body = { kind: "none" } as const;
    const fail = () => this.#claim.fail(describedError(error, headers));
    await this.#write(this.#dispositionOf(status, { status, headers, body }, error), {
      record: fail,
      stub: fail,
      hold: () => this.#claim.hold(error),
    });
  }

  #dispositionOf(status: number, { headers, body }: StoredResponse, error: unknown): Disposition {
    const { classify } = this.#settings;
    const isWhole = body !== undefined;
    if (this.#decision === "record") return isWhole ? "record" : "stub";
    if (this.#decision !== undefined) return this.#decision;
    const facts = { status, headers, isWhole, ...(error !== undefined && { error }) };
    const own = this.#asked(() => classify?.(facts));
    if (own === "record" && !isWhole) return "stub";
    return own ?? dispositionOf(status, isWhole, this.#on5xx);
  }

  /** A `classify` that throws has decided nothing. */
  #asked(ask: () => Disposition | undefined): Disposition | undefined {
    try {
      return ask();
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  get #on5xx() {
    const byGuarantee = this.#claim.guarantee === "at-least-once" ? "release" : "record";
    return this.#settings.on5xx ?? byGuarantee;
  }

  async #write(
    disposition: Disposition,
    ends: Readonly<Record<Exclude<Disposition, "release">, () => Promise<Written>>>,
  ): Promise<void> {
    try {
      const end = disposition === "release" ? () => this.#claim.release() : ends[disposition];
      const { recorded, error } = await end();
      if (!recorded && error !== undefined) this.#report(error);
    } catch (error) {
      this.#report(error);
    }
  }
}
