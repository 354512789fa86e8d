import {
  checkHeaders,
  type HeaderList,
  headersSince,
  isThenable,
  type OutgoingHeaders,
} from "@idemkit/http";
import type { FastifyReply } from "fastify";

/** How a handler has responded, or an error handler in its place. */
export type Recorded =
  | RecordedResponse
  /** It has thrown, or has sent an error. */
  | { readonly kind: "error"; readonly error: unknown }
  /** It has taken the response away from Fastify, or has written to the raw response. */
  | { readonly kind: "taken" };

export interface RecordedResponse {
  readonly kind: "response";
  readonly status: number;
  readonly headers: HeaderList;
  readonly payload: unknown;
}

type Value = string | readonly string[];
type Serializer = (payload: never) => string | Uint8Array;

/** Of the payload, and therefore not of what an error handler makes. */
const PAYLOAD_HEADERS = ["content-type", "content-length"];

/**
 * Records the responses that a handler sets and sends by its own reply. Nothing of them reaches the client before it is
 * committed, and nothing that a plugin sends by the real reply meanwhile, such as a timeout's 503, reaches it.
 */
export class Recorder {
  /** The handler's reply: the real one, except for all functions that change a response. */
  readonly reply: FastifyReply;
  /** Settles once: with the first response, or when the handler is done without one. */
  readonly recorded: Promise<Recorded>;
  readonly real: FastifyReply;
  readonly isResponding: () => boolean;
  readonly #headers: Map<string, Value>;
  readonly #raw: FastifyReply["raw"];
  readonly #statusBefore: number | undefined;
  #status: number | undefined;
  #serializer: Serializer | undefined;
  #isRecorded = false;
  #isTaken = false;
  #rawBefore: OutgoingHeaders | undefined;
  #settle!: (recorded: Recorded) => void;

  /**
   * @param isResponding whether the real reply sends a response
   * @param handler for an error handler: the handler that has thrown, whose status and headers stay
   */
  constructor(real: FastifyReply, isResponding: () => boolean, handler?: Recorder) {
    this.real = real;
    this.isResponding = isResponding;
    // A hook may have chosen a status for the handler; but a refusal is a hook's own response, on its way.
    const { statusCode } = real;
    this.#statusBefore =
      handler === undefined && statusCode !== 200 && statusCode < 400 ? statusCode : undefined;
    this.#status = handler?.status;
    this.#raw = handler === undefined ? real.raw : withOwnStatus(real.raw, handler.status ?? 200);
    const headers = handler?.headers.filter(([name]) => !PAYLOAD_HEADERS.includes(name));
    this.#headers = new Map(headers);
    this.recorded = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.reply = this.#ownReply();
  }

  get status(): number | undefined {
    return this.#status;
  }

  get headers(): HeaderList {
    return [...this.#headers];
  }

  /** Runs the handler. Resolves when it is done, whether or not it has responded by then; never rejects. */
  async run(call: () => unknown): Promise<void> {
    try {
      const returned = call();
      const isAsync = returned !== this.reply && isThenable(returned);
      const value = isAsync ? await returned : returned;
      if (this.#isTaken) this.#take();
      else if (value !== undefined && value !== this.reply) this.#send(value);
      else if (this.#hasWritten) this.#take();
      // As in Fastify, an async function is over now, while a callback may send later.
      else if (isAsync && value === undefined && !this.#isRecorded) this.#send(undefined);
      else if (!this.#isRecorded) this.#takeOnClose();
    } catch (error) {
      if (this.#isRecorded) this.#logLate(error);
      else this.#record({ kind: "error", error });
    }
  }

  /** The headers that the handler has set on the raw response. */
  get rawHeaders(): HeaderList {
    const { raw } = this.real;
    return headersSince(this.#rawBefore ?? {}, raw.getHeaders() as OutgoingHeaders);
  }

  /** Whether the handler has written to the raw response. */
  get #hasWritten(): boolean {
    const { raw } = this.real;
    return this.#rawBefore !== undefined && raw.headersSent && !this.isResponding();
  }

  #record(recorded: Recorded): void {
    this.#isRecorded = true;
    this.#settle(recorded);
  }

  #take(): void {
    if (!this.#isRecorded) this.#record({ kind: "taken" });
  }

  /** A callback may take the response, or write to it, after the handler has returned. */
  #takeOnClose(): void {
    this.real.raw.once("close", () => {
      if (this.#isTaken || this.#hasWritten) this.#take();
    });
  }

  #send(payload: unknown): void {
    if (this.#isRecorded) {
      const { method, url } = this.real.request;
      this.real.log.warn(`${method} ${url}: the handler has responded already.`);
    } else if (payload instanceof Error) {
      this.#record({ kind: "error", error: payload });
    } else {
      this.#record(this.#responseOf(payload));
    }
  }

  #responseOf(payload: unknown): Recorded {
    const raw = this.#rawBefore === undefined ? [] : this.rawHeaders;
    const headers = [...new Map([...raw, ...this.#headers])];
    const serialize = this.#serializes(payload) ? this.#serializer : undefined;
    try {
      const sent = serialize === undefined ? payload : serialize(payload as never);
      return { kind: "response", status: this.#statusToSend, headers, payload: sent };
    } catch (error) {
      return { kind: "error", error };
    }
  }

  get #statusToSend(): number {
    return this.#status ?? this.#statusBefore ?? 200;
  }

  /** Fastify serializes texts as well if they have a type. */
  #serializes(payload: unknown): boolean {
    if (this.#serializer === undefined) return false;
    if (typeof payload === "string") return "content-type" in this.#allHeaders();
    if (typeof payload !== "object" || payload === null) return payload !== undefined;
    return !("pipe" in payload || "getReader" in payload || ArrayBuffer.isView(payload));
  }

  #logLate(error: unknown): void {
    this.real.log.error({ err: error }, "The handler failed after it had responded.");
  }

  /** Decorators of the reply are found on the real one, and work on this one. */
  #ownReply(): FastifyReply {
    const real = this.real;
    const own = Object.create(real) as FastifyReply;
    const chained =
      (act: (...given: never[]) => void) =>
      (...given: never[]) => {
        act(...given);
        return own;
      };
    const functions = {
      code: chained((status: number) => this.#setStatus(status)),
      status: chained((status: number) => this.#setStatus(status)),
      header: chained((name: string, value: unknown) => this.#setHeader(name, value)),
      headers: chained((headers: object) => {
        for (const [name, value] of Object.entries(headers)) this.#setHeader(name, value);
      }),
      type: chained((type: string) => this.#setHeader("content-type", type)),
      removeHeader: chained((name: string) => this.#removeHeader(name)),
      getHeader: (name: string) => this.#allHeaders()[name.toLowerCase()],
      getHeaders: () => this.#allHeaders(),
      hasHeader: (name: string) => name.toLowerCase() in this.#allHeaders(),
      serializer: chained((serializer: Serializer) => {
        this.#serializer = serializer;
      }),
      redirect: chained(
        (url: string, status: number = this.#status ?? this.#statusBefore ?? 302) => {
          this.#setStatus(status);
          this.#setHeader("location", url);
          this.#send(undefined);
        },
      ),
      send: chained((payload?: unknown) => this.#send(payload)),
      hijack: chained(() => {
        this.#noteRaw();
        this.#isTaken = true;
        real.hijack();
      }),
      trailer: chained((name: string, make: never) => void real.trailer(name, make)),
      hasTrailer: (name: string) => real.hasTrailer(name),
      removeTrailer: chained((name: string) => void real.removeTrailer(name)),
      // biome-ignore lint/suspicious/noThenProperty: Fastify's replies can be awaited.
      then: (onSent: () => void) => {
        void this.recorded.then(() => onSent());
        if (this.#isRecorded) return;
        this.#takeOnClose();
        if (this.#isTaken || this.#hasWritten) this.#take();
      },
    };
    for (const [name, value] of Object.entries(functions)) {
      Object.defineProperty(own, name, { value, configurable: true, writable: true });
    }
    Object.defineProperties(own, {
      sent: { get: () => this.#isRecorded || this.#isTaken },
      statusCode: {
        get: () => this.#statusToSend,
        set: (status: number) => this.#setStatus(status),
      },
      raw: {
        get: () => {
          this.#noteRaw();
          return this.#raw;
        },
      },
    });
    return own;
  }

  #noteRaw(): void {
    this.#rawBefore ??= this.real.raw.getHeaders() as OutgoingHeaders;
  }

  /** @throws RangeError where Fastify's own would throw too late, after the commit */
  #setStatus(given: number): void {
    const status = Number(given);
    if (!(Number.isInteger(status) && status >= 100 && status <= 599)) {
      throw new RangeError(`code: expected a status from 100 to 599, got ${given}.`);
    }
    this.#status = status;
  }

  /** @throws TypeError for a header that Node would refuse only when it is sent */
  #setHeader(given: string, value: unknown): void {
    const name = given.toLowerCase();
    const values = Array.isArray(value) ? value.map(String) : [String(value ?? "")];
    checkHeaders([[name, values]]);
    const [only = ""] = values;
    const one: Value = Array.isArray(value) ? values : only;
    const before = this.#headers.get(name);
    const isList = name === "set-cookie" && before !== undefined;
    this.#headers.set(name, isList ? [before, one].flat() : one);
  }

  /** One that the outside world has set is removed from the response that is sent. */
  #removeHeader(given: string): void {
    const name = given.toLowerCase();
    if (this.real.hasHeader(name)) this.#headers.set(name, []);
    else this.#headers.delete(name);
  }

  #allHeaders(): Record<string, unknown> {
    const all: Record<string, unknown> = { ...this.real.getHeaders() };
    for (const [name, value] of this.#headers) {
      if (value.length === 0 && typeof value !== "string") delete all[name];
      else all[name] = value;
    }
    return all;
  }
}

/**
 * The raw response for an error handler. Fastify's default one sets a status on it, when the response may be
 * another plugin's already.
 */
function withOwnStatus(raw: FastifyReply["raw"], status: number): FastifyReply["raw"] {
  let statusCode = status;
  return new Proxy(raw, {
    get: (target, name) => {
      if (name === "statusCode") return statusCode;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => {
      if (name !== "statusCode") return Reflect.set(target, name, value);
      statusCode = value as number;
      return true;
    },
  });
}
