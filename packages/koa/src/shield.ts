import { Readable } from "node:stream";
import type { OutgoingHeaders } from "@idemkit/http";
import type { Response } from "koa";

/** What a protected handler has answered after somebody else's response went out in its place. */
interface Late {
  readonly status?: number;
  readonly headers: OutgoingHeaders;
}

/** What stands between a protected handler and the fate of its connection. */
export interface Shield {
  readonly late: Late;
  /** Gives the response back to Koa, and answers the stream that is its body, if it is one. */
  lift(): Readable | undefined;
}

/**
 * Koa destroys a stream that is the body when the connection ends, so that a client that leaves would
 * cut off what is still to be kept. Until it is lifted, streams are held here, and Koa gets an empty
 * one, for what it does to status and headers.
 *
 * Koa also ignores what is set once a response went out, such as that of a time-out. Here it is kept.
 */
export function shield(response: Response): Shield {
  const koa: object = Object.getPrototypeOf(response);
  const late: { status?: number; readonly headers: Record<string, OutgoingHeaders[string]> } = {
    headers: {},
  };
  let stream: Readable | undefined;
  const setBody = (value: unknown) => {
    if (value === stream && stream !== undefined) return;
    if (stream !== undefined && !isStream(value)) stream.destroy();
    stream = isStream(value) ? value : undefined;
    // Without a listener an error would end the process. It is met again when the stream is read.
    stream?.on("error", () => undefined);
    Reflect.set(koa, "body", stream === undefined ? value : Readable.from([]), response);
  };
  const setStatus = (status: number) => {
    if (response.headerSent) late.status = status;
    Reflect.set(koa, "status", status, response);
  };
  const set: Response["set"] = (...args: unknown[]) => {
    const [name, value] = args;
    if (response.headerSent && typeof name === "string") {
      late.headers[name.toLowerCase()] = value as OutgoingHeaders[string];
    }
    Reflect.apply(Reflect.get(koa, "set") as Response["set"], response, args);
  };
  define(response, "body", () => stream ?? Reflect.get(koa, "body", response), setBody);
  define(response, "status", () => Reflect.get(koa, "status", response) as number, setStatus);
  Object.defineProperty(response, "set", { configurable: true, value: set });
  return {
    late,
    lift: () => {
      const held = stream;
      stream = undefined;
      for (const name of ["body", "status", "set"]) Reflect.deleteProperty(response, name);
      return held;
    },
  };
}

function define<T>(of: object, name: string, get: () => T, set: (value: T) => void): void {
  Object.defineProperty(of, name, { configurable: true, enumerable: true, get, set });
}

function isStream(value: unknown): value is Readable {
  return typeof (value as Partial<Readable> | null | undefined)?.pipe === "function";
}
