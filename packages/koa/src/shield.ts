import { Readable } from "node:stream";
import type { Response } from "koa";

/** What keeps the streams of a protected handler from the connection's fate. */
export interface Shield {
  /** Gives the response back to Koa, and answers the stream that is its body, if it is one. */
  lift(): Readable | undefined;
}

/**
 * Koa destroys a stream that is the body when the connection ends, so that a client that leaves would
 * cut off what is still to be kept. Until it is lifted, streams are held here, and Koa gets an empty
 * one, for what it does to status and headers.
 */
export function shieldBody(response: Response): Shield {
  const prototype: object = Object.getPrototypeOf(response);
  let stream: Readable | undefined;
  Object.defineProperty(response, "body", {
    configurable: true,
    enumerable: true,
    get: () => stream ?? Reflect.get(prototype, "body", response),
    set: (value: unknown) => {
      if (value === stream && stream !== undefined) return;
      if (stream !== undefined && !isStream(value)) stream.destroy();
      stream = isStream(value) ? value : undefined;
      // Without a listener an error would end the process. It is met again when the stream is read.
      stream?.on("error", () => undefined);
      const toKoa = stream === undefined ? value : Readable.from([]);
      Reflect.set(prototype, "body", toKoa, response);
    },
  });
  return {
    lift: () => {
      const held = stream;
      stream = undefined;
      Reflect.deleteProperty(response, "body");
      return held;
    },
  };
}

function isStream(value: unknown): value is Readable {
  return typeof (value as Partial<Readable> | null | undefined)?.pipe === "function";
}
