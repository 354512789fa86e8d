import { type Readable, Stream } from "node:stream";

/**
 * Lets go of a stream that is not sent. A body of another kind is left alone: `destroy` of an ORM's model deletes
 * a row.
 */
export function destroyStream(body: unknown): void {
  if (body instanceof Stream) (body as Readable).once("error", () => undefined).destroy?.();
}

export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>> | null | undefined)?.then === "function";
}
