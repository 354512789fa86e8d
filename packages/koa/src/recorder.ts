import { AsyncLocalStorage } from "node:async_hooks";
import { HandlerRaw, type HeaderList } from "@idemkit/http";
import type { Context, Next, Response } from "koa";

/** Statuses of responses that have no body. */
const WITHOUT_BODY = [204, 205, 304];

const handlers = new AsyncLocalStorage<Recorder>();

/**
 * The response that a handler sets. The handler and the middleware around it have one `ctx`: while the handler
 * runs, `ctx.response`, `ctx.res` and `ctx.cookies` are its own for its calls, and the real ones for the calls of
 * the middleware around it. So a timeout's 503 is not taken for the handler's response, nor the other way round.
 */
export class Recorder {
  readonly response: Response;
  readonly raw: HandlerRaw;
  readonly #ctx: Context;
  readonly #realBefore: string;

  constructor(ctx: Context) {
    this.#ctx = ctx;
    const { app, req, request, response: real, res } = ctx;
    this.raw = new HandlerRaw(res);
    const { response: ownRes } = this.raw;
    const own: Response = Object.create(app.response);
    this.response = Object.assign(own, { app, ctx: this.#ownContext(), req, request, res: ownRes });
    // Koa begins with 404: a response that was not set.
    if (real.status !== 404) own.status = real.status;
    if (real.body !== undefined) own.body = real.body;
    this.#realBefore = stateOf(real);
    this.#give("response", own, real);
    this.#give("res", ownRes, res);
    this.#giveCookies({ app, req, request, res: ownRes });
  }

  /** Runs the handler, which sets this response. */
  async run(next: Next): Promise<void> {
    await handlers.run(this, next);
  }

  /** The headers that the handler has set. */
  get headers(): HeaderList {
    return this.raw.headers;
  }

  /** Whether another middleware has set the real response meanwhile. */
  get isOvertaken(): boolean {
    const { headerSent, response } = this.#ctx;
    return headerSent || stateOf(response) !== this.#realBefore;
  }

  /** Whether the handler has taken the response away from Koa. */
  get isTaken(): boolean {
    return this.raw.isTaken || this.#ctx.respond === false;
  }

  /**
   * Whether the handler has set no body here, while the real response was set. It may have lost its context, in a
   * callback of an old library: then its response is unknown.
   */
  get isLost(): boolean {
    const { body, status } = this.response;
    return body === undefined && !WITHOUT_BODY.includes(status) && this.isOvertaken;
  }

  #give(name: "response" | "res", own: unknown, real: unknown): void {
    let outside = real;
    this.#define(
      name,
      () => own,
      () => outside,
      (value) => {
        outside = value;
      },
    );
  }

  /**
   * Koa 2 reports the error of a response's stream to its context, which responds with it. Before the commit the
   * stream is read, and its error is the handler's.
   */
  #ownContext(): Context {
    const ctx = this.#ctx;
    const onerror = (error: Error) => {
      if (this.raw.isSent) handlers.exit(() => ctx.onerror(error));
    };
    return Object.create(ctx, { onerror: { value: onerror } });
  }

  /** Koa makes them when they are first asked for, from the `req` and `res` of the context that asks. */
  #giveCookies(own: object): void {
    const ctx = this.#ctx;
    const koas: object = Object.getPrototypeOf(ctx);
    this.#define(
      "cookies",
      () => Reflect.get(koas, "cookies", own),
      () => Reflect.get(koas, "cookies", ctx),
      (value) => void Reflect.set(koas, "cookies", value, ctx),
    );
  }

  #define(
    name: string,
    own: () => unknown,
    outside: () => unknown,
    set: (value: unknown) => void,
  ): void {
    const get = () => (handlers.getStore() === this ? own() : outside());
    Object.defineProperty(this.#ctx, name, { configurable: true, enumerable: true, get, set });
  }
}

function stateOf({ status, body }: Response): string {
  return `${status} ${body === undefined}`;
}
