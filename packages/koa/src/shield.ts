import { AsyncLocalStorage } from "node:async_hooks";
import { Readable } from "node:stream";
import type { OutgoingHeaders } from "@idemkit/http";
import type { Next, Response } from "koa";

/** What the handler itself has set, whatever others have sent in its place. */
interface Own {
  status?: number;
  readonly headers: Record<string, OutgoingHeaders[string]>;
  /** Missing where it has set none. */
  body?: unknown;
}

const handlers = new AsyncLocalStorage<Shield>();

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
  readonly #response: Response;
  #stream: Readable | undefined;
  /** Whether the body that Koa has now was set by somebody else. */
  #isOthers = false;
  #isSettingBody = false;
  #hasWritten = false;

  constructor(response: Response) {
    this.#response = response;
    const koa: object = Object.getPrototypeOf(response);
    define(response, "body", {
      get: () => {
        const held = this.#isOthers ? undefined : this.#stream;
        return held ?? Reflect.get(koa, "body", response);
      },
      set: (value: unknown) => this.#setBody(koa, value),
    });
    define(response, "status", {
      get: () => Reflect.get(koa, "status", response) as unknown,
      set: (status: unknown) => {
        // Koa gives a body a status, but only where none was set.
        const isGuess = this.#isSettingBody && this.own.status !== undefined;
        if (this.#isOwn && !isGuess) this.own.status = status as number;
        Reflect.set(koa, "status", status, response);
      },
    });
    define(response, "set", {
      value: (...args: readonly unknown[]) => {
        if (this.#isOwn) this.#setHeaders(args);
        Reflect.apply(Reflect.get(koa, "set") as Response["set"], response, args);
      },
      writable: true,
    });
    const { res } = response;
    const { writeHead } = res;
    // Whatever else is written begins with it.
    define(res, "writeHead", {
      value: (...args: Parameters<typeof writeHead>) => {
        this.#hasWritten ||= this.#isOwn;
        return Reflect.apply(writeHead, res, args) as unknown;
      },
      writable: true,
    });
  }

  /** Whether the handler has written to the raw response, behind Koa's back. */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** Runs the handler, so that what it sets is known for its own. */
  async run(next: Next): Promise<void> {
    await handlers.run(this, next);
  }

  /** Gives the response back to Koa, and answers the stream that is its body, if it is one. */
  lift(): Readable | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    for (const name of ["body", "status", "set"]) Reflect.deleteProperty(this.#response, name);
    Reflect.deleteProperty(this.#response.res, "writeHead");
    return this.#isOthers ? undefined : stream;
  }

  get #isOwn(): boolean {
    return handlers.getStore() === this;
  }

  #setBody(koa: object, value: unknown): void {
    this.#isOthers = !this.#isOwn;
    if (this.#isOthers) {
      Reflect.set(koa, "body", value, this.#response);
      return;
    }
    this.own.body = value;
    const held = this.#stream;
    if (held !== undefined && held === value) return;
    if (held !== undefined && !isStream(value)) held.destroy();
    this.#stream = isStream(value) ? value : undefined;
    // Without a listener an error would end the process. It is met again when the stream is read.
    this.#stream?.on("error", () => undefined);
    const toKoa = this.#stream === undefined ? value : Readable.from([]);
    this.#isSettingBody = true;
    Reflect.set(koa, "body", toKoa, this.#response);
    this.#isSettingBody = false;
  }

  #setHeaders([name, value]: readonly unknown[]): void {
    const headers = typeof name === "string" ? { [name]: value } : (name as object);
    for (const [each, own] of Object.entries(headers)) {
      this.own.headers[each.toLowerCase()] = own as OutgoingHeaders[string];
    }
  }
}

function define(of: object, name: string, descriptor: PropertyDescriptor): void {
  Object.defineProperty(of, name, { configurable: true, enumerable: true, ...descriptor });
}

function isStream(value: unknown): value is Readable {
  return typeof (value as Partial<Readable> | null | undefined)?.pipe === "function";
}
