import { checkHeaders, type HeaderList } from "@idemkit/http";
import { errorCodes, type FastifyReply } from "fastify";

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
 * What a handler sets and sends by the reply that it gets. Nothing of it reaches the client before it is
 * committed, and nothing that a plugin sends by the real reply meanwhile, such as a timeout's 503, reaches it.
 */
export class Recorder {
  /** What the handler gets: the real reply, but for all that changes a response. */
  readonly reply: FastifyReply;
  /** Settles once: with the first response, or when the handler is done without one. */
  readonly recorded: Promise<Recorded>;
  readonly #real: FastifyReply;
  readonly #headers: Map<string, Value>;
  #status: number | undefined;
  #serializer: Serializer | undefined;
  #isRecorded = false;
  #isTaken = false;
  #hasRaw = false;
  #settle!: (recorded: Recorded) => void;

  /** @param handler of an error handler: the handler that has thrown, whose status and headers stay */
  constructor(real: FastifyReply, handler?: Recorder) {
    this.#real = real;
    this.#status = handler?.status;
    this.#headers = new Map(handler?.headers);
    for (const name of PAYLOAD_HEADERS) this.#headers.delete(name);
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
      const isAsync = isThenable(returned) && returned !== this.reply;
      const value = isAsync ? await returned : returned;
      if (value !== undefined && value !== this.reply) this.#send(value);
      else if (this.#isTaken || (this.#hasRaw && this.#real.raw.headersSent)) this.#take();
      // As Fastify does: what is async is over, while a callback may send later.
      else if (isAsync && value === undefined && !this.#isRecorded) this.#send(undefined);
    } catch (error) {
      if (this.#isRecorded) this.#logLate(error);
      else this.#record({ kind: "error", error });
    }
  }

  #record(recorded: Recorded): void {
    this.#isRecorded = true;
    this.#settle(recorded);
  }

  #take(): void {
    if (!this.#isRecorded) this.#record({ kind: "taken" });
  }

  #send(payload: unknown): void {
    if (this.#isRecorded) {
      const { method, url } = this.#real.request;
      this.#real.log.warn({ err: new errorCodes.FST_ERR_REP_ALREADY_SENT(url, method) });
    } else if (payload instanceof Error) {
      this.#record({ kind: "error", error: payload });
    } else {
      const { headers } = this;
      const isSerialized = this.#serializer !== undefined && isObject(payload);
      const sent = isSerialized ? this.#serializer?.(payload as never) : payload;
      const status = this.#status ?? this.#real.statusCode;
      this.#record({ kind: "response", status, headers, payload: sent });
    }
  }

  #logLate(error: unknown): void {
    this.#real.log.error({ err: error }, "The handler failed after it had responded.");
  }

  /** Decorators of the reply are found on the real one, and work on this one. */
  #ownReply(): FastifyReply {
    const recorder = this;
    const real = this.#real;
    const own = Object.create(real) as FastifyReply;
    const chained = (act: (...given: never[]) => void) =>
      function (...given: never[]) {
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
      redirect: chained((url: string, status: number = this.#status ?? 302) => {
        this.#setStatus(status);
        this.#setHeader("location", url);
        this.#send(undefined);
      }),
      send: chained((payload?: unknown) => this.#send(payload)),
      hijack: chained(() => {
        this.#isTaken = true;
        real.hijack();
      }),
      trailer: chained((name: string, make: never) => void real.trailer(name, make)),
      hasTrailer: (name: string) => real.hasTrailer(name),
      removeTrailer: chained((name: string) => void real.removeTrailer(name)),
      // biome-ignore lint/suspicious/noThenProperty: Fastify's replies can be awaited.
      then: (onSent: () => void) => void this.recorded.then(() => onSent()),
    };
    for (const [name, value] of Object.entries(functions)) {
      Object.defineProperty(own, name, { value, configurable: true, writable: true });
    }
    Object.defineProperties(own, {
      sent: { get: () => recorder.#isRecorded || recorder.#isTaken },
      statusCode: {
        get: () => recorder.#status ?? real.statusCode,
        set: (status: number) => recorder.#setStatus(status),
      },
      raw: {
        get: () => {
          recorder.#hasRaw = true;
          return real.raw;
        },
      },
    });
    return own;
  }

  /** @throws as Fastify's own, and before anything is committed */
  #setStatus(given: number): void {
    const status = Number(given);
    if (!(Number.isInteger(status) && status >= 100 && status <= 599)) {
      throw new errorCodes.FST_ERR_BAD_STATUS_CODE(given);
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
    if (this.#real.hasHeader(name)) this.#headers.set(name, []);
    else this.#headers.delete(name);
  }

  #allHeaders(): Record<string, unknown> {
    const all: Record<string, unknown> = { ...this.#real.getHeaders() };
    for (const [name, value] of this.#headers) {
      if (value.length === 0 && typeof value !== "string") delete all[name];
      else all[name] = value;
    }
    return all;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
}

function isObject(payload: unknown): boolean {
  const isPlain = typeof payload === "object" && payload !== null;
  return isPlain && !("pipe" in payload || "getReader" in payload || ArrayBuffer.isView(payload));
}
