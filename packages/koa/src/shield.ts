import { AsyncLocalStorage } from "node:async_hooks";
import { Readable } from "node:stream";
import type { OutgoingHeaders } from "@idemkit/http";
import type { Next, Response } from "koa";
import { accessor, Overrides } from "./overrides.ts";

/** What the handler itself has set, whatever others have sent in its place. */
interface Own {
  status?: number;
  readonly headers: Record<string, OutgoingHeaders[string]>;
  /** Missing where it has set none. */
  body?: unknown;
}

const handlers = new AsyncLocalStorage<Shield>();

/** They have no body, and Koa gives no other status to a response that is set to nothing. */
const EMPTY: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * Stands between a protected handler and the fate of its connection.
 *
 * Koa destroys a stream that is the body when the connection ends, so that a client that leaves would
 * cut off what is still to be kept. Until it is lifted, streams are held here, and Koa gets an empty
 * one, for what it does to status and headers.
 *
 * A time-out around the handler sets the same response as the handler does, and once it was sent, Koa
 * ignores what is set. What the handler sets is therefore told apart, and kept.
 */
export class Shield {
  readonly own: Own = { headers: {} };
  readonly #overrides = new Overrides();
  readonly #body: ReturnType<typeof accessor>;
  #stream: Readable | undefined;
  #isBodyOthers = false;
  #isStatusOthers = false;
  /** What the body is being set to by the handler, while Koa does it. */
  #setting: { readonly value: unknown } | undefined;
  #hasWritten = false;

  constructor(response: Response) {
    this.#body = accessor(response, "body");
    const status = accessor(response, "status");
    this.#overrides.add(response, "body", {
      get: () => (this.#isBodyOthers ? undefined : this.#stream) ?? this.#body.get(),
      set: (value: unknown) => this.#setBody(value),
    });
    this.#overrides.add(response, "status", {
      get: () => status.get(),
      set: (value: unknown) => {
        this.#noteStatus(value as number);
        status.set(value);
      },
    });
    this.#overrides.addFunction(response, "set", (args) => this.#noteHeaders(args));
    this.#overrides.addFunction(response, "remove", ([name]) => this.#noteRemoved(name));
    // Whatever else is written begins with it.
    this.#overrides.addFunction(response.res, "writeHead", () => {
      this.#hasWritten ||= this.#isOwn;
    });
  }

  /** Whether the handler has written to the raw response, behind Koa's back. */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** Whether the body that Koa has was set by somebody else. */
  get isBodyOthers(): boolean {
    return this.#isBodyOthers;
  }

  /** Whether the status that Koa has was set by somebody else. */
  get isStatusOthers(): boolean {
    return this.#isStatusOthers;
  }

  /** Runs the handler, so that what it sets is known for its own. */
  async run(next: Next): Promise<void> {
    await handlers.run(this, next);
  }

  /** Gives the response back to Koa, and answers the stream that the handler has set, if it has. */
  lift(): Readable | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#overrides.undo();
    return stream;
  }

  get #isOwn(): boolean {
    return handlers.getStore() === this;
  }

  #setBody(value: unknown): void {
    this.#isBodyOthers = !this.#isOwn;
    if (this.#isBodyOthers) {
      this.#body.set(value);
      return;
    }
    this.own.body = value;
    const held = this.#stream;
    if (held !== undefined && held === value) return;
    if (held !== undefined && !isStream(value)) held.destroy();
    this.#stream = isStream(value) ? value : undefined;
    // Without a listener an error would end the process. It is met again when the stream is read.
    this.#stream?.on("error", () => undefined);
    this.#setting = { value };
    this.#body.set(this.#stream === undefined ? value : Readable.from([]));
    this.#setting = undefined;
  }

  #noteStatus(status: number): void {
    const { own } = this;
    this.#isStatusOthers = !this.#isOwn;
    if (this.#isStatusOthers) return;
    // Koa gives a body a status where none was set; and always to nothing, where that has another one.
    const isGuess = this.#setting !== undefined && own.status !== undefined;
    const isForNothing = isGuess && this.#setting?.value == null && !EMPTY.has(own.status ?? 0);
    if (!isGuess || isForNothing) own.status = status;
  }

  #noteHeaders([name, value]: readonly unknown[]): void {
    if (!this.#isOwn) return;
    const headers = typeof name === "string" ? { [name]: value } : (name as object);
    for (const [each, own] of Object.entries(headers)) {
      this.own.headers[each.toLowerCase()] = own as OutgoingHeaders[string];
    }
  }

  #noteRemoved(name: unknown): void {
    if (this.#isOwn) delete this.own.headers[String(name).toLowerCase()];
  }
}

function isStream(value: unknown): value is Readable {
  return typeof (value as Partial<Readable> | null | undefined)?.pipe === "function";
}
