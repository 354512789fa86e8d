import { createHash, hash } from "node:crypto";
import { describe, shown } from "./describe.ts";
import { InvalidKeyError, InvalidScopeError } from "./errors.ts";
import { checkNames } from "./options.ts";
import type { RecordId } from "./store.ts";

/** Who and what a key belongs to: one name, or a list such as tenant, user and operation. */
export type Scope = string | readonly string[];

const SCOPE_BYTES_MAX = 1024;
const KEY_BYTES_MAX = 255;
const DIGEST_HEX_LENGTH = 32;
const NUL = "\u0000";

/**
 * The id of the record for a key in a scope. The digest is the first half of SHA-256 over the
 * length-prefixed scope and key, so that `['a', 'bc']` never meets `['ab', 'c']`.
 *
 * @throws InvalidScopeError, InvalidKeyError
 */
export function recordId(scope: Scope, key: string): RecordId {
  const joined = joinScope(scope);
  checkKey(key);
  const digest = hash("sha256", prefixed(joined) + prefixed(key), "hex");
  return { digest: digest.slice(0, DIGEST_HEX_LENGTH), scope: joined, key };
}

/**
 * The id of a record of which only the digest is known.
 *
 * @throws TypeError
 */
export function recordIdOf(record: { readonly digest: string }): RecordId {
  if (typeof record !== "object" || record === null) {
    throw new TypeError(`inspect: expected (scope, key) or { digest }, got ${describe(record)}.`);
  }
  const { digest } = record;
  if (typeof digest === "string" && /^[0-9a-f]{32}$/.test(digest)) {
    return { digest, scope: "", key: "" };
  }
  throw new TypeError(`digest: expected 32 lower-case hex digits, got ${describe(digest)}.`);
}

/** Joins the parts so that no two lists give the same text: each behind its length in bytes. */
function joinScope(scope: Scope): string {
  const parts = typeof scope === "string" ? [scope] : scope;
  if (!Array.isArray(parts) || parts.length === 0) {
    throw new InvalidScopeError(
      `scope: expected a string or a list of strings, such as [tenant, user, operation], got ${describe(scope)}.`,
    );
  }
  let joined = "";
  for (const [index, part] of parts.entries()) {
    const problem = textProblem(part);
    if (problem !== undefined) {
      const name = typeof scope === "string" ? "scope" : `scope[${index}]`;
      throw new InvalidScopeError(`${name}: ${problem}.`);
    }
    joined += prefixed(part);
  }
  const bytes = Buffer.byteLength(joined);
  if (bytes > SCOPE_BYTES_MAX) {
    throw new InvalidScopeError(
      `scope: expected at most ${SCOPE_BYTES_MAX} bytes of UTF-8 once joined, got ${bytes}.`,
    );
  }
  return joined;
}

/** How a derived key is written: services bound the length of their idempotency keys, and their form. */
export interface DeriveKeyOptions {
  /**
   * - `hex`: lower-case hex digits, 4 bits each.
   * - `base64url`: letters, digits, `-` and `_`, 6 bits each.
   * - `uuid`: a UUID of version 5 (RFC 9562) in 36 lower-case characters, with 122 bits. It takes no
   *   `length`.
   *
   * Default: `hex`.
   */
  readonly format?: "hex" | "base64url" | "uuid";
  /**
   * How many characters: 30 to 64 of `hex`, 20 to 43 of `base64url`. Less than 120 bits are refused,
   * because two operations could get the same key. Default: all, which is 64 or 43.
   */
  readonly length?: number;
}

const DERIVED_BITS_MIN = 120;
/** Of a SHA-256, which has 256 bits. */
const TEXT_FORMATS = {
  hex: { bitsPerCharacter: 4, lengthMax: 64 },
  base64url: { bitsPerCharacter: 6, lengthMax: 43 },
} as const;
/** The name space of derived keys, for version 5. A random UUID that must not change. */
const UUID_NAMESPACE = Buffer.from("536d081887e34bbda77e7971e86d026b", "hex");

/**
 * A key for a call that a record's work makes to the outside: the same on every attempt, another one
 * for every name, and nothing can be told from it about the record.
 *
 * @throws TypeError
 */
export function derivedKey(
  { digest }: RecordId,
  name: string,
  options: DeriveKeyOptions = {},
): string {
  const problem = textProblem(name);
  if (problem !== undefined) throw new TypeError(`deriveKey: ${problem} as the name.`);
  const { format, length } = checkedFormat(options);
  const source = prefixed("derived") + prefixed(digest) + prefixed(name);
  if (format === "uuid") return uuidOf(hash("sha256", source, "hex"));
  return hash("sha256", source, format).slice(0, length);
}

/** @throws TypeError that says which bound is broken, and why there is one */
function checkedFormat(options: DeriveKeyOptions) {
  checkNames(options, ["format", "length"]);
  const { format = "hex", length } = options;
  if (format === "uuid") {
    if (length === undefined) return { format, length };
    const why = "a UUID always has 36 characters";
    throw new TypeError(`length: expected none with the format 'uuid', because ${why}.`);
  }
  if (format !== "hex" && format !== "base64url") {
    throw new TypeError(`format: expected 'hex', 'base64url' or 'uuid', got ${shown(format)}.`);
  }
  const { bitsPerCharacter, lengthMax } = TEXT_FORMATS[format];
  const lengthMin = DERIVED_BITS_MIN / bitsPerCharacter;
  const isWithin = (given: number) =>
    Number.isSafeInteger(given) && given >= lengthMin && given <= lengthMax;
  if (length === undefined || isWithin(length)) return { format, length };
  throw new TypeError(
    `length: expected a whole number from ${lengthMin} to ${lengthMax} with the format '${format}', ` +
      `got ${shown(length)}. A shorter key has less than ${DERIVED_BITS_MIN} bits, so that two ` +
      "operations could get the same key. A longer key does not exist: it is made of 256 bits.",
  );
}

/**
 * Version 5 of RFC 9562, as validators have accepted it for long; many refuse version 8, which is of
 * 2024. It prescribes SHA-1. No caller can choose its input, which is a SHA-256.
 */
function uuidOf(name: string): string {
  const bytes = createHash("sha1").update(UUID_NAMESPACE).update(name).digest();
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex", 0, 16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20)].join("-");
}

/** Undoes {@link joinScope}, for labels read back from a store. */
export function splitScope(joined: string): readonly string[] {
  const bytes = Buffer.from(joined);
  const parts: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const colon = bytes.indexOf(":", at);
    const length = Number(bytes.toString("latin1", at, colon));
    // A label that we did not write is shown as it is: it identifies nothing.
    if (colon < 0 || !Number.isSafeInteger(length) || length < 1) return [joined];
    at = colon + 1 + length;
    parts.push(bytes.toString("utf8", colon + 1, at));
  }
  return parts;
}

function checkKey(key: string): void {
  const problem = textProblem(key);
  if (problem !== undefined) throw new InvalidKeyError(`key: ${problem}.`);
  const bytes = Buffer.byteLength(key);
  if (bytes > KEY_BYTES_MAX) {
    throw new InvalidKeyError(
      `key: expected at most ${KEY_BYTES_MAX} bytes of UTF-8, got ${bytes}.`,
    );
  }
}

/** Text columns refuse U+0000, and lone surrogates would all become one character in UTF-8. */
export function textProblem(text: unknown): string | undefined {
  if (typeof text !== "string") return `expected a string, got ${describe(text)}`;
  if (text === "") return "expected a string that is not empty";
  if (!text.isWellFormed()) return "expected well-formed Unicode, got a lone surrogate";
  if (text.includes(NUL)) return "expected text without the character U+0000";
  return undefined;
}

function prefixed(text: string): string {
  return `${Buffer.byteLength(text)}:${text}`;
}
