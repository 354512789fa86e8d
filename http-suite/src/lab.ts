import type { ServerResponse } from "node:http";
import type { createEngine, Engine, Store } from "@idemkit/engine";
import type { HttpOptions, IdempotencyState } from "@idemkit/http";

/** A request and its response, in words that each framework has. */
export interface Exchange {
  readonly method: string;
  /** What a parser has made of the request's body. */
  readonly body: unknown;
  readonly idempotency: IdempotencyState | undefined;
  /** Where a header of the outside world is already set. */
  status(code: number): void;
  header(name: string, value: string | readonly string[]): void;
  cookie(name: string, value: string): void;
  redirect(url: string): unknown;
  /** What the handler has to return. */
  send(body?: unknown): unknown;
  /** Responds without returning: the way of handlers with callbacks, on paths under `/callback/`. */
  respond(body: unknown): void;
  /** Throws an error of the framework's own class. */
  fail(status: number, message: string, members?: object): never;
  /** Throws an error of the class that the framework's usual plugin has, with `around: ['sensible']`. */
  failByPlugin(status: number, message: string): never;
  /** Throws an error of another library after the framework has put a status on it. */
  decorate(status: number, error: Error): never;
  /** Takes the response away from the framework. */
  hijack(): ServerResponse;
  /** Reads a request's body that no parser has read. */
  unparsed(): Promise<Buffer>;
}

export type Handler = (exchange: Exchange) => unknown;

/**
 * - `slow`: a layer that works for {@link SLOW_MS} on each response, as a session store does
 * - `served-at`: puts a header on each response, after its handler
 * - `serializer`: chooses a serializer and a type for the objects of each response
 * - `sensible`: the framework's usual plugin for HTTP errors
 */
export type Surrounding =
  | "compress"
  | "cors"
  | "etag"
  | "sensible"
  | "served-at"
  | "serializer"
  | "slow";

export const SLOW_MS = 30;

/** What a row wants to be served. */
export interface Plan {
  readonly handler: Handler;
  readonly options?: Partial<HttpOptions<never>>;
  /** Middlewares or plugins around the protection. */
  readonly around?: readonly Surrounding[];
  /** After how long the framework answers 503 for the handler. */
  readonly timeoutMs?: number;
  /** Formats errors as JSON, as applications do; or hides them behind a success. */
  readonly formatsErrors?: boolean | "as-success";
  /** Refuses requests without the header `authorization`, outside of the protection. */
  readonly authenticates?: boolean;
}

export interface App {
  readonly origin: string;
  /** What the application was told of failures behind its answers. */
  readonly reported: readonly unknown[];
  close(): Promise<void>;
}

/**
 * A framework with its binding. Requests to `/status/:key` are answered by the status endpoint, those to
 * `/open` are not protected, and all others are.
 */
export interface Binding {
  readonly name: string;
  start(engine: Engine, plan: Plan): Promise<App>;
}

/** What a row works with. All that it starts is ended for it. */
export interface Lab {
  readonly binding: Binding;
  readonly store: Store;
  readonly engine: Engine;
  /** Rows that need an engine of their own make it by this. */
  readonly createEngine: typeof createEngine;
  serve(plan: Plan, engine?: Engine): Promise<App>;
}

/** One rule, and how it is seen to hold. */
export interface Row {
  readonly title: string;
  readonly prove: (lab: Lab) => Promise<void>;
}
