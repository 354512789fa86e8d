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
  /** Throws what the framework answers with this status. */
  fail(status: number, message: string, members?: object): never;
  /** Takes the response away from the framework. */
  hijack(): ServerResponse;
  /** Reads a request's body that no parser has read. */
  unparsed(): Promise<Buffer>;
}

export type Handler = (exchange: Exchange) => unknown;

type Surrounding = "compress" | "cookies" | "cors" | "etag";

/** What a row wants to be served. */
export interface Plan {
  readonly handler: Handler;
  readonly options?: Partial<HttpOptions<never>>;
  /** Middlewares or plugins around the protection. */
  readonly around?: readonly Surrounding[];
  /** After how long the framework answers 503 for the handler. */
  readonly timeoutMs?: number;
  /** Formats errors as JSON, as applications do. */
  readonly formatsErrors?: boolean;
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
