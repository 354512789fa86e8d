import { hash } from "node:crypto";
import { describe } from "./describe.ts";
import { InvalidKeyError, InvalidScopeError } from "./errors.ts";
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
export function recordIdOf(digest: string): RecordId {
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

/**
 * A key for a call that a record's work makes to the outside: the same on every attempt, another one
 * for every name, and nothing can be told from it about the record.
 *
 * @throws TypeError
 */
export function derivedKey({ digest }: RecordId, name: string): string {
  const problem = textProblem(name);
  if (problem !== undefined) throw new TypeError(`deriveKey: ${problem} as the name.`);
  return hash("sha256", prefixed("derived") + prefixed(digest) + prefixed(name), "hex");
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
