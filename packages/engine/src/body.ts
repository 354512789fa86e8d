import { types } from "node:util";
import { NotJsonError, TooLongError, writeJson } from "./json.ts";

/**
 * The body of a record is text with its format in front, so that a later release can add formats:
 *
 *     json:{"orderId":"o-1"}    a value; nothing behind the colon stands for `undefined`
 *     none:is a Date            done, but the value could not be kept, and why
 *     error:{"name":"Declined"} what the function threw
 */
const VALUE = "json:";
const NOT_KEPT = "none:";
const THROWN = "error:";

const RESULT_STYLE = { root: "the result", canonical: false } as const;
const ERROR_STYLE = { root: "the error", canonical: false } as const;
const NOT_DESCRIBED = `${THROWN}{"name":"Error","message":"What was thrown could not be kept.","properties":{}}`;
const ERROR_TEXT_LENGTH_MAX = 16_384;
const ERROR_PROPERTIES_MAX = 64;
const PROPERTY_STYLE = { ...ERROR_STYLE, lengthMax: ERROR_TEXT_LENGTH_MAX } as const;

export interface EncodedValue {
  readonly body: string;
  /** Why the value itself is not in the body, where it is not. */
  readonly notKeptBecause?: string;
}

/** Encodes a result. One that cannot be kept still ends as done: protection is never dropped. */
export function encodeValue(value: unknown, bytesMax: number): EncodedValue {
  if (value === undefined) return { body: VALUE };
  try {
    // A text of more characters has more bytes as well, and is given up early.
    const body = VALUE + writeJson(value, { lengthMax: bytesMax, ...RESULT_STYLE });
    if (Buffer.byteLength(body) - VALUE.length > bytesMax) throw new TooLongError();
    return { body };
  } catch (error) {
    // A getter or proxy of the user's may throw anything.
    if (error instanceof TooLongError) {
      return notKept(`the result has more than ${bytesMax} bytes, see \`maxResultBytes\``);
    }
    if (error instanceof NotJsonError) return notKept(error.message.replace(/\.$/, ""));
    return notKept("reading the result threw an error");
  }
}

function notKept(notKeptBecause: string): EncodedValue {
  return {
    body: NOT_KEPT + notKeptBecause.toWellFormed().replaceAll("\u0000", ""),
    notKeptBecause,
  };
}

export type DecodedValue =
  | { readonly kept: true; readonly value: unknown }
  | { readonly kept: false; readonly why: string };

/** @throws SyntaxError where the body is none that {@link encodeValue} wrote */
export function decodeValue(body: string): DecodedValue {
  if (body === VALUE) return { kept: true, value: undefined };
  if (body.startsWith(VALUE)) return { kept: true, value: JSON.parse(body.slice(VALUE.length)) };
  if (body.startsWith(NOT_KEPT)) return { kept: false, why: body.slice(NOT_KEPT.length) };
  throw new SyntaxError("The stored body is in no format that this release of idemkit reads.");
}

interface StoredError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | number;
  readonly properties: Readonly<Record<string, unknown>>;
}

/**
 * Encodes what a function threw: name, message, code, and own properties that JSON can carry.
 * It never throws itself, whatever it is given: a claim has to end.
 */
export function encodeError(thrown: unknown): string {
  return attempt(() => describedError(thrown)) ?? NOT_DESCRIBED;
}

function describedError(thrown: unknown): string {
  if (!types.isNativeError(thrown) && !(thrown instanceof Error)) {
    const { body, notKeptBecause } = encodeValue(thrown, ERROR_TEXT_LENGTH_MAX);
    if (notKeptBecause !== undefined) return NOT_DESCRIBED;
    return `${THROWN}{"thrown":${body.slice(VALUE.length) || "null"}}`;
  }
  const stored: StoredError = {
    name: text(() => thrown.name, "Error"),
    message: text(() => thrown.message, ""),
    ...codeOf(thrown),
    properties: propertiesOf(thrown),
  };
  const body = THROWN + writeJson(stored, ERROR_STYLE);
  if (body.length <= ERROR_TEXT_LENGTH_MAX * 2) return body;
  return THROWN + writeJson({ ...stored, properties: {} }, ERROR_STYLE);
}

function text(read: () => unknown, otherwise: string): string {
  const value = attempt(read);
  return typeof value === "string" ? value.slice(0, ERROR_TEXT_LENGTH_MAX) : otherwise;
}

function codeOf(error: Error): { readonly code?: string | number } {
  const code = attempt(() => (error as { readonly code?: unknown }).code);
  return typeof code === "string" || Number.isFinite(code) ? { code: code as string | number } : {};
}

const KEPT_APART: ReadonlySet<string> = new Set(["name", "message", "stack", "cause", "code"]);

function propertiesOf(error: Error): Readonly<Record<string, unknown>> {
  const names = Object.keys(error).filter((name) => !KEPT_APART.has(name));
  const properties = Object.create(null) as Record<string, unknown>;
  for (const name of names.slice(0, ERROR_PROPERTIES_MAX)) {
    const value = attempt(() => (error as unknown as Readonly<Record<string, unknown>>)[name]);
    const json = value === undefined ? undefined : attempt(() => writeJson(value, PROPERTY_STYLE));
    if (json !== undefined) properties[name] = JSON.parse(json);
  }
  return properties;
}

/** The user's getters may throw; an error that cannot be described in full is described in part. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Encodes what is known of an unknown outcome: an error, or any value. */
export function encodeEvidence(evidence: unknown, bytesMax: number): string {
  // What cannot even be asked is described as far as it can be.
  const isError = attempt(() => evidence instanceof Error) ?? true;
  return isError ? encodeError(evidence) : encodeValue(evidence, bytesMax).body;
}

/** @throws SyntaxError where the body is none that {@link encodeError} wrote */
export function decodeError(body: string): unknown {
  if (!body.startsWith(THROWN)) {
    throw new SyntaxError("The stored body is in no format that this release of idemkit reads.");
  }
  const stored = JSON.parse(body.slice(THROWN.length)) as
    | StoredError
    | { readonly thrown: unknown };
  if ("thrown" in stored) return stored.thrown;
  const error = new Error(stored.message);
  const own = { ...stored.properties, ...(stored.code !== undefined && { code: stored.code }) };
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(error, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  Object.defineProperty(error, "name", { value: stored.name, writable: true, configurable: true });
  // The stack of the rebuilding would point at the wrong place, and the original is not kept.
  error.stack = `${stored.name}: ${stored.message}\n    (rebuilt from its record; the original stack was not kept)`;
  return error;
}
