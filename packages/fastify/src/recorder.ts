import { Stream } from "node:stream";
import { checkHeaders, HandlerRaw, type HeaderList, isThenable } from "@idemkit/http";
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
  /** Settles once the recorded response was looked at: its stream was read. */
  readonly #seen: Promise<void>;
  readonly #headers: Map<string, Value>;
  readonly #statusBefore: number | undefined;
  #status: number | undefined;
  #serializer: Serializer | undefined;
  #isRecorded = false;
  #isTaken = false;
  #isWaitedFor = false;
  #raw: HandlerRaw | undefined;
  #settle!: (recorded: Recorded) => void;
  #onSeen!: () => void;

  /** @param before for an error handler: the handler that has failed before it, whose status and headers stay */
  constructor(real: FastifyReply, before?: Recorder) {
    this.real = real;
    // A hook may have chosen a status for the handler; but a refusal is a hook's own response, on its way.
    const { statusCode } = real;
    this.#statusBefore =
      before === undefined && statusCode !== 200 && statusCode < 400 ? statusCode : undefined;
    this.#status = before?.status;
    const headers = before?.headers.filter(([name]) => !PAYLOAD_HEADERS.includes(name));
    this.#headers = new Map(headers);
    this.recorded = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#seen = new Promise((resolve) => {
      this.#onSeen = resolve;
    });
    this.reply = this.#ownReply();
  }

  /** Whether the handler writes to the raw response, and has not ended it. */
  get isWriting(): boolean {
    return this.#raw?.isTaken === true && !this.real.raw.writableEnded;
  }

  /** The status that the handler has set. */
  get status(): number | undefined {
    return this.#raw?.ownStatus ?? this.#status;
  }

  /** The headers that the handler has set. */
  get headers(): HeaderList {
    return [...new Map([...(this.#raw?.headers ?? []), ...this.#headers])];
  }

  /** The handler's raw response, which is made when it is asked for. */
  get raw(): HandlerRaw {
    this.#raw ??= new HandlerRaw(this.real.raw, this.#statusToSend, () => this.#take());
    return this.#raw;
  }

  /** Runs the handler. Resolves when it is done, whether or not it has responded by then; never rejects. */
  async run(call: () => unknown): Promise<void> {
    try {
      const returned = call();
      const isAsync = returned !== this.reply && isThenable(returned);
      const value = isAsync ? await returned : returned;
      this.#isWaitedFor = true;
      // Handlers return `stream.pipe(reply.raw)`.
      const isRaw = value !== undefined && value === this.#raw?.response;
      if (this.#isTaken || isRaw) this.#take();
      else if (value !== undefined && value !== this.reply) this.#send(value);
      // As in Fastify, an async function is over now, while a callback may send later.
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

  /** The handler has the response. It may fail yet, unless it is done, and a callback of it goes on. */
  #take(): void {
    this.#isTaken = true;
    if (this.#isWaitedFor && !this.#isRecorded) this.#record({ kind: "taken" });
  }

  /** A handler that waits for its reply goes on: the response was seen, or has failed. */
  wasSeen(): void {
    this.#onSeen();
  }

  /** The recorded response is the one that is sent. */
  afterCommit(): void {
    this.#raw?.afterCommit();
  }

  #send(payload: unknown): void {
    if (this.#isRecorded || this.#isTaken) {
      const { method, url } = this.real.request;
      this.real.log.warn(`${method} ${url}: the handler has responded already.`);
    } else if (payload instanceof Error) {
      this.#record({ kind: "error", error: payload });
    } else {
      this.#record(this.#responseOf(payload));
    }
  }

  #responseOf(payload: unknown): Recorded {
    // A stream may fail before anything reads it.
    if (payload instanceof Stream) payload.on("error", () => undefined);
    const serialize = this.#serializes(payload) ? this.#serializer : undefined;
    try {
      const sent = serialize === undefined ? payload : serialize(payload as never);
      this.#raw?.beforeCommit();
      const { headers } = this;
      return { kind: "response", status: checked(this.#statusToSend), headers, payload: sent };
    } catch (error) {
      return { kind: "error", error };
    }
  }

  get #statusToSend(): number {
    return this.status ?? this.#statusBefore ?? 200;
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
        (url: string, status: number = this.status ?? this.#statusBefore ?? 302) => {
          this.#setStatus(status);
          this.#setHeader("location", url);
          this.#send(undefined);
        },
      ),
      send: chained((payload?: unknown) => this.#send(payload)),
      hijack: chained(() => {
        real.hijack();
        this.#take();
      }),
      trailer: chained((name: string, make: never) => void real.trailer(name, make)),
      hasTrailer: (name: string) => real.hasTrailer(name),
      removeTrailer: chained((name: string) => void real.removeTrailer(name)),
      // biome-ignore lint/suspicious/noThenProperty: Fastify's replies can be awaited.
      then: (onSent: () => void) => {
        void this.recorded.then(() => this.#seen).then(() => onSent());
        this.#isWaitedFor = true;
        if (this.#isTaken) this.#take();
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
      raw: { get: () => this.raw.response },
    });
    return own;
  }

  #setStatus(given: number): void {
    const status = checked(given);
    this.#status = status;
    if (this.#raw !== undefined) this.#raw.response.statusCode = status;
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

/** @throws RangeError where Fastify's own would throw too late, after the commit */
function checked(given: number): number {
  const status = Number(given);
  if (Number.isInteger(status) && status >= 100 && status <= 599) return status;
  throw new RangeError(`code: expected a status from 100 to 599, got ${given}.`);
}
