import {
  ConflictError,
  EngineClosedError,
  InProgressError,
  InvalidKeyError,
  InvalidScopeError,
  OutcomeUnknownError,
  ReplayedError,
  ResultUnavailableError,
  StoreError,
  type TransactionalClaimHandle,
} from "@idemkit/engine";
import { describe } from "@idemkit/engine/model";
import { checkWebhook } from "./engine-option.ts";
import {
  bodyFingerprint,
  mediaTypeOf,
  type RequestBody,
  type RequestPayload,
  requestFingerprint,
} from "./fingerprint.ts";
import type { HeaderList } from "./headers.ts";
import { checkKey, headerLines, type KeyReading, readKey } from "./key.ts";
import { type HttpOptions, type HttpSettings, httpSettings } from "./options.ts";
import {
  type Answer,
  answerOf,
  asResponse,
  type Occurrence,
  type ProblemCode,
  ProblemError,
  problemOf,
  retryAfter,
} from "./problems.ts";
import { ProtectedRun } from "./protected-run.ts";
import { guarded, type Report } from "./report.ts";
import { type IdempotencyState, type OfKey, replayedState } from "./state.ts";
import { decodeResponse, headerOf, type Sendable } from "./stored-response.ts";
import { takeHeaders } from "./thrown.ts";
import { isVerified } from "./verify.ts";

/** What a binding tells of a request. */
export interface RequestFacts {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly url: string;
  /** Names and values in turn, one pair for each line. */
  readonly rawHeaders: readonly string[];
  readonly contentType: string | undefined;
  /** Its body, read where nobody has yet; or nothing where that has more bytes than `maxBody`. */
  readonly readBody: (maxBody: number) => Promise<RequestBody | undefined>;
  /** Tells the application of what failed behind an answer. */
  readonly report: Report;
}

/** The decision about a request, which a binding carries out. */
export type Admission =
  /** The handler runs without protection: there is no key and none is needed, or the store has failed. */
  | { readonly kind: "pass" }
  /** The handler runs, under this grant. */
  | { readonly kind: "run"; readonly run: ProtectedRun }
  /** The handler does not run: a replay, or a problem. Only a replay has a state. */
  | {
      readonly kind: "respond";
      readonly response: Sendable;
      readonly state?: IdempotencyState;
    }
  /** The first request ended with an error, which the application's error handling gets again. */
  | {
      readonly kind: "rethrow";
      readonly error: unknown;
      readonly headers: HeaderList;
      readonly state: IdempotencyState;
    };

/** A request's body, or why it is refused. */
type BodyReading = { readonly body: RequestBody } | { readonly problem: ProblemCode };

/** What the bindings share: everything between the framework's request and its handler. */
export class Guard<Req> {
  readonly #settings: HttpSettings<Req>;
  readonly #headerNames: ReadonlySet<string>;

  /** @throws TypeError for an option that is none */
  constructor(options: HttpOptions<Req>) {
    this.#settings = httpSettings(options);
    checkWebhook(options);
    this.#headerNames = new Set(this.#settings.headerNames.map((name) => name.toLowerCase()));
  }

  /** Whether requests with this method are protected. */
  isFor(method: string): boolean {
    return this.#settings.methods.has(method);
  }

  get #replayHeader(): readonly [name: string, value: string] {
    return [this.#settings.replayHeader.toLowerCase(), "true"];
  }

  /**
   * Decides about a request, and claims its key if it is to run.
   *
   * @throws ProblemError instead of an answer, with `problems: 'throw'`; whatever the options'
   *   functions throw; InvalidScopeError where `scope` has answered none
   */
  async admit(request: Req, told: RequestFacts): Promise<Admission> {
    const facts = { ...told, report: guarded(told.report) };
    const { engine, scope: scopeOf, required, verify } = this.#settings;
    // First of all: a forged request is to learn nothing, and to cost as little as it can.
    const verified = verify && (await this.#verifiedBody(verify, request, facts));
    if (verified !== undefined && "problem" in verified) return this.#problem(verified.problem);
    const reading = await this.#readKey(request, facts);
    if ("problem" in reading) {
      if (reading.problem === "key-missing" && !required) return { kind: "pass" };
      return this.#problem(reading.problem, { detail: reading.detail });
    }
    const ofKey = { key: reading.key, scope: await scopeOf(request) };
    const content = await this.#contentOf(request, facts, verified);
    if ("problem" in content) return this.#problem(content.problem);
    const { method, url } = facts;
    const payload = requestFingerprint({ method, url, ...content });
    try {
      const begun = await engine.begin(ofKey.scope, ofKey.key, payload);
      if (begun.kind === "replay") return this.#replay(ofKey, begun);
      const claim = begun.claim as TransactionalClaimHandle<unknown, false>;
      return { kind: "run", run: new ProtectedRun(this.#settings, ofKey, claim, facts.report) };
    } catch (error) {
      return this.#refused(error, ofKey, facts);
    }
  }

  async #readBody({ contentType, readBody }: RequestFacts): Promise<BodyReading> {
    if (mediaTypeOf(contentType).startsWith("multipart/")) {
      return { problem: "content-type-unsupported" };
    }
    const body = await readBody(this.#settings.maxBody);
    return body === undefined ? { problem: "content-too-large" } : { body };
  }

  async #verifiedBody(
    verify: HttpOptions<Req>["verify"] & {},
    request: Req,
    facts: RequestFacts,
  ): Promise<BodyReading> {
    const reading = await this.#readBody(facts);
    if ("problem" in reading) return reading;
    const isAccepted = await isVerified(verify, request, reading.body, facts.report);
    return isAccepted ? reading : { problem: "signature-invalid" };
  }

  /** What stands for the body in the fingerprint. It is read only if it is compared, or verified already. */
  async #contentOf(
    request: Req,
    facts: RequestFacts,
    verified: BodyReading | undefined,
  ): Promise<{ readonly content: RequestPayload } | { readonly problem: ProblemCode }> {
    const { comparison } = this.#settings;
    if (comparison.kind === "value") {
      const fingerprint = await comparison.valueOf(request);
      if (fingerprint !== undefined) return { content: { fingerprint } };
      throw new TypeError(`fingerprint: expected a value, got ${describe(fingerprint)}.`);
    }
    const reading = verified ?? (await this.#readBody(facts));
    if ("problem" in reading) return reading;
    const mediaType = mediaTypeOf(facts.contentType);
    return { content: bodyFingerprint(reading.body, mediaType, comparison.excluded) };
  }

  async #readKey(request: Req, { rawHeaders }: RequestFacts): Promise<KeyReading> {
    const { key: keyOf, grammar } = this.#settings;
    if (keyOf === undefined) {
      const names = this.#settings.headerNames.join(" or ");
      const missing = `This operation needs a key of your own for each request, in the header ${names}.`;
      return readKey(headerLines(rawHeaders, this.#headerNames), grammar, missing);
    }
    const key: unknown = await keyOf(request);
    if (key !== undefined && typeof key !== "string") {
      throw new TypeError(`key: expected a string or undefined, got ${typeof key}.`);
    }
    return key === undefined ? readKey([], grammar) : checkKey({ key }, grammar);
  }

  #replay(
    ofKey: OfKey,
    begun: { readonly value: unknown; readonly token: number; readonly attempt: number },
  ): Admission {
    const response = decodeResponse(begun.value);
    if (response?.body !== undefined) {
      const { status, headers, body } = response;
      const marked = { status, headers: [...headers, this.#replayHeader], body };
      return { kind: "respond", response: marked, state: this.#state(ofKey, begun) };
    }
    if (response === undefined) return this.#problem("response-not-stored");
    const location = headerOf(response.headers, "location");
    // It is 0 where nobody has seen it.
    const originalStatus = response.status || undefined;
    return this.#problem("response-not-stored", {
      ...(originalStatus !== undefined && { originalStatus }),
      ...(location !== undefined && { location }),
    });
  }

  /** What an error of the engine means for the client. */
  #refused(error: unknown, ofKey: OfKey, facts: RequestFacts): Admission {
    if (error instanceof ReplayedError) {
      const { cause } = error;
      const state = this.#state(ofKey, error);
      const headers = [...takeHeaders(cause), this.#replayHeader];
      return { kind: "rethrow", headers, error: cause, state };
    }
    if (error instanceof ConflictError) return this.#problem("key-reused");
    if (error instanceof InProgressError) return this.#inProgress(ofKey.key, error);
    if (error instanceof OutcomeUnknownError) return this.#problem("outcome-unknown");
    if (error instanceof ResultUnavailableError) return this.#problem("response-not-stored");
    if (error instanceof InvalidKeyError) return this.#problem("key-invalid");
    if (error instanceof StoreError || error instanceof EngineClosedError) {
      facts.report(error);
      if (this.#settings.isBypassing && error instanceof StoreError) return { kind: "pass" };
      return this.#problem("store-unavailable", { retryAfterMs: STORE_RETRY_AFTER_MS });
    }
    if (error instanceof InvalidScopeError) throw unauthenticated(error);
    throw error;
  }

  #inProgress(key: string, { retryAfterMs }: InProgressError): Admission {
    const { isAccepting, statusUrl } = this.#settings;
    if (!isAccepting || statusUrl === undefined) {
      return this.#problem("in-progress", { retryAfterMs });
    }
    const headers = {
      "content-type": "application/json",
      "cache-control": "no-store",
      location: statusUrl(key),
      "retry-after": retryAfter(retryAfterMs),
    };
    const body = JSON.stringify({ status: "in-progress" });
    return { kind: "respond", response: asResponse({ status: 202, headers, body }) };
  }

  #problem(code: ProblemCode, occurrence: Occurrence = {}): Admission {
    const { docsUrl, format, isThrowing } = this.#settings;
    const problem = problemOf(code, docsUrl, occurrence);
    const answer = answerOf(problem, format, docsUrl, occurrence.retryAfterMs);
    const { location } = occurrence;
    const told = location === undefined ? answer : withHeader(answer, "location", location);
    // A webhook's sender is to get 2xx for an event that was worked on: that is no error.
    if (isThrowing && told.status >= 400) throw new ProblemError(problem, told);
    return { kind: "respond", response: asResponse(told) };
  }

  #state(ofKey: OfKey, of: { readonly token: number; readonly attempt: number }) {
    const { engine } = this.#settings;
    const deriveKey: IdempotencyState["deriveKey"] = (name, options) =>
      engine.deriveKey(ofKey.scope, ofKey.key, name, options);
    return replayedState(ofKey, of, deriveKey);
  }
}

/** A store that has failed is asked again by the next request anyway. */
const STORE_RETRY_AFTER_MS = 1_000;

function unauthenticated({ message }: InvalidScopeError): InvalidScopeError {
  return new InvalidScopeError(
    "`scope(request)` has to answer who was authenticated, such as a user's id. Is authentication " +
      `mounted before? It answered something else: ${message}`,
  );
}

function withHeader(answer: Answer, name: string, value: string): Answer {
  return { ...answer, headers: { ...answer.headers, [name]: value } };
}
