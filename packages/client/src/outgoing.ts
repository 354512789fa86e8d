import { type ReplayableBody, replayable } from "./body.ts";
import { describe, named, shown, tagOf } from "./describe.ts";
import { headerValueOf } from "./key.ts";
import type { Settings } from "./options.ts";
import { untilAborted } from "./timing.ts";

/** A request that can be sent any number of times, and is the same each time. */
export interface Outgoing {
  readonly input: string | Request;
  /** Complete but for the signal. */
  readonly init: RequestInit;
}

/**
 * Makes a request out of what a fetch takes. Nothing is sent.
 *
 * @throws TypeError if it could not be sent with its key, or not again
 */
export async function outgoing(
  input: unknown,
  given: RequestInit,
  key: string,
  settings: Settings,
  signal: AbortSignal | undefined,
): Promise<Outgoing> {
  const request = isRequest(input) ? input : undefined;
  const method = checkMethod(given.method ?? request?.method ?? "GET", settings.methods);
  const headers = new Headers(given.headers ?? request?.headers);
  const target = request ?? String(input);
  const init: RequestInit = { ...kept(request), ...given, method };
  checkMode(given.mode ?? request?.mode);
  if (headers.has(settings.header)) {
    throw new TypeError(
      `headers: ${named(settings.header)} is written by the client. Pass the key as \`key\`.`,
    );
  }
  // Begun before the first await, as the caller may change what it has passed.
  const begun = given.body == null && request ? bodyOf(request) : replayable(given.body);
  const body = await untilAborted(Promise.resolve(begun), signal);
  headers.set(settings.header, headerValueOf(key, settings.keyFormat));
  if (body.contentType !== undefined && !headers.has("content-type")) {
    headers.set("content-type", body.contentType);
  }
  init.headers = headers;
  if (body.content !== undefined) init.body = body.content;
  if (settings.fetch === undefined) refuseWhatFetchWould(target, init);
  return { input: target, init };
}

/**
 * The signal that ends the call, by the rule of fetch: that of `init` comes before the Request's.
 *
 * @throws TypeError if it is none
 */
export function signalOf(input: unknown, { signal }: RequestInit): AbortSignal | undefined {
  const found: unknown = signal === undefined && isRequest(input) ? input.signal : signal;
  if (found === undefined || found === null) return undefined;
  if (typeof found === "object" && tagOf(found) === "AbortSignal") return found as AbortSignal;
  throw new TypeError(`signal: expected an AbortSignal, got ${describe(found)}.`);
}

/** By what it can do: the Requests of other implementations are Requests too. */
function isRequest(input: unknown): input is Request {
  return (
    typeof input === "object" &&
    input !== null &&
    typeof (input as Partial<Request>).url === "string" &&
    typeof (input as Partial<Request>).arrayBuffer === "function"
  );
}

function checkMethod(method: unknown, methods: readonly string[]): string {
  const name = String(method).toUpperCase();
  if (methods.includes(name)) return name;
  throw new TypeError(
    `method: expected ${methods.map(named).join(" or ")}, got ${shown(name)}, which is sent without a key: ` +
      "use fetch itself, or name it in the option `methods` of createClient.",
  );
}

/** Under `no-cors` browsers drop the key without a word, and each retry would run anew. */
function checkMode(mode: unknown): void {
  if (mode !== "no-cors") return;
  throw new TypeError("mode: expected one that lets the key pass, got 'no-cors'.");
}

/** What a fetch resets on a Request as soon as it is called with other things beside it. */
function kept(request: Request | undefined): RequestInit {
  if (request === undefined) return {};
  return { referrer: request.referrer, referrerPolicy: request.referrerPolicy };
}

async function bodyOf(request: Request): Promise<ReplayableBody> {
  if (request.bodyUsed) {
    throw new TypeError("input: expected a Request whose body was not read, got one that was.");
  }
  // Methods such as GET take none, be it ever so short.
  return { content: request.body === null ? undefined : await request.arrayBuffer() };
}

/**
 * Makes what the runtime's fetch would make first, so that a wrong URL is an error of the caller's and
 * not one of the network, which would be tried again. No other fetch is second-guessed.
 *
 * @throws TypeError of the runtime
 */
function refuseWhatFetchWould(input: string | Request, init: RequestInit): void {
  const url = typeof input === "string" ? input : input.url;
  // Whether there is a body matters to some methods; the body itself need not be copied for it.
  const body = init.body == null ? {} : { body: "" };
  const { protocol } = new URL(new Request(url, { ...init, ...body, signal: null }).url);
  if (protocol === "http:" || protocol === "https:") return;
  throw new TypeError(
    `input: expected a URL of http or https, got ${shown(protocol.slice(0, -1))}.`,
  );
}
