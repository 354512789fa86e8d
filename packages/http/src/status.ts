import {
  EngineClosedError,
  type InspectedRecord,
  InvalidKeyError,
  StoreError,
} from "@idemkit/engine";
import { checkKey, type KeyReading, readKey } from "./key.ts";
import { type HttpOptions, type HttpSettings, httpSettings } from "./options.ts";
import {
  asResponse,
  type Occurrence,
  type ProblemCode,
  problemResponse,
  retryAfter,
} from "./problems.ts";
import { guarded, type Report } from "./report.ts";
import {
  decodeResponse,
  headerOf,
  type Sendable,
  type StoredBody,
  type StoredResponse,
} from "./stored-response.ts";
import { statusOfError } from "./thrown.ts";

/** What the status of a key is asked with: the same as its protection, as far as both need it. */
export interface StatusOptions<Req>
  extends Pick<
    HttpOptions<Req>,
    "engine" | "scope" | "preset" | "keyFormat" | "strict" | "docsUrl"
  > {
  /** Whether the body of a kept response is told as well. Default: false. */
  readonly includeBody?: boolean;
}

/** What is known of a key. Times are ISO 8601, the store's clock. */
interface KeyStatus {
  readonly status: "in-progress" | "completed" | "failed" | "unknown";
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly responseStatus?: number;
  readonly location?: string;
  readonly body?: string;
}

const POLL_AFTER_MS = 1_000;

/** Answers what has become of a key. Whoever is asked for it is authenticated by the app first. */
export class StatusEndpoint<Req> {
  readonly #settings: HttpSettings<Req>;
  readonly #includeBody: boolean;

  /** @throws TypeError for an option that is none */
  constructor({ includeBody = false, ...options }: StatusOptions<Req>) {
    this.#settings = httpSettings(options, ["includeBody"]);
    this.#includeBody = includeBody;
  }

  /**
   * @param key as it stands in the URL, decoded
   * @param report tells the application of a store that has failed
   */
  async answer(request: Req, key: string, report: Report): Promise<Sendable> {
    const { engine, scope, grammar } = this.#settings;
    const reading: KeyReading = key.startsWith('"')
      ? readKey([key], grammar)
      : checkKey({ key }, grammar);
    if ("problem" in reading) return this.#problem(reading.problem, { detail: reading.detail });
    let record: InspectedRecord | undefined;
    try {
      record = await engine.inspect(await scope(request), reading.key);
    } catch (error) {
      if (error instanceof InvalidKeyError) return this.#problem("key-invalid");
      if (!(error instanceof StoreError || error instanceof EngineClosedError)) throw error;
      guarded(report)(error);
      return this.#problem("store-unavailable", { retryAfterMs: POLL_AFTER_MS });
    }
    // A key that was given back is as good as new.
    if (record === undefined || record.state === "released") return this.#problem("not-found");
    return this.#told(record);
  }

  #told(record: InspectedRecord): Sendable {
    const status = this.#statusOf(record);
    const headers = {
      "content-type": "application/json",
      "cache-control": "no-store",
      ...(status.status === "in-progress" && { "retry-after": retryAfter(POLL_AFTER_MS) }),
    };
    return asResponse({ status: 200, headers, body: JSON.stringify(status) });
  }

  #statusOf(record: InspectedRecord): KeyStatus {
    const times = {
      createdAt: new Date(record.createdAt).toISOString(),
      ...(record.expiresAt !== undefined && {
        expiresAt: new Date(record.expiresAt).toISOString(),
      }),
    };
    if (record.state === "in-progress") return { status: "in-progress", ...times };
    if (record.state !== "completed" || record.status === "unknown") {
      return { status: "unknown", ...times };
    }
    if (record.status === "failed") {
      return { status: "failed", ...times, responseStatus: statusOfError(record.error) };
    }
    const response = decodeResponse(record.value);
    if (response === undefined) return { status: "completed", ...times };
    return { status: "completed", ...times, ...this.#ofResponse(response) };
  }

  #ofResponse({ status: responseStatus, headers, body }: StoredResponse) {
    const location = headerOf(headers, "location");
    return {
      responseStatus,
      ...(location !== undefined && { location }),
      ...(this.#includeBody && { ...textOf(body) }),
    };
  }

  #problem(code: ProblemCode, occurrence: Occurrence = {}): Sendable {
    return problemResponse(code, this.#settings, occurrence);
  }
}

/** A body as text, where it is JSON or text. */
function textOf(body: StoredBody | undefined): { readonly body: string } | undefined {
  if (body?.kind === "text") return { body: body.text };
  return body?.kind === "json" ? { body: JSON.stringify(body.value) } : undefined;
}
