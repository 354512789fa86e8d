/** What is used of a response, so that those of undici's package and others fit as well. */
export interface ResponseLike {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: unknown;
  clone(): unknown;
}

/** Any fetch of the WHATWG's kind. What it takes and answers is what the client takes and answers. */
export type FetchLike = (input: never, init?: never) => Promise<ResponseLike>;

/** The same as it is used here, with the types of one implementation, which all have in common. */
export type Send = (input: string | Request, init: RequestInit) => Promise<Response>;
