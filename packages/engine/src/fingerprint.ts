import { hash } from "node:crypto";
import { types } from "node:util";
import { NotJsonError, writeJson } from "./json.ts";

/** Put before each fingerprint, so that a later algorithm can tell and recompute older ones. */
const VERSION = "1";

/**
 * What a payload is, as 64 hex digits behind the version of the algorithm: SHA-256 over canonical
 * JSON (RFC 8785), over text as UTF-8, or over bytes as they are. Each kind has a prefix of its own,
 * so that the text `{}` is not the empty object.
 *
 * @param exclude JSON Pointers (RFC 6901) of members that do not make the content another one
 * @throws NotJsonError where the payload is neither JSON-like, nor text, nor bytes
 */
export function fingerprintOf(payload: unknown, exclude: ReadonlySet<string>): string {
  return `${VERSION}:${digestOf(payload, exclude)}`;
}

function digestOf(payload: unknown, exclude: ReadonlySet<string>): string {
  if (types.isUint8Array(payload)) return digestOfBytes(payload);
  if (types.isAnyArrayBuffer(payload)) return digestOfBytes(new Uint8Array(payload));
  if (payload === undefined) {
    throw new NotJsonError(
      "payload is undefined; pass null for an operation that has no input of its own.",
    );
  }
  if (typeof payload === "string") {
    if (payload.isWellFormed()) return hash("sha256", `text:${payload}`, "hex");
    throw new NotJsonError("payload contains a lone surrogate; pass it as bytes.");
  }
  const text = writeJson(payload, { root: "payload", canonical: true, exclude });
  return hash("sha256", `json:${text}`, "hex");
}

const BYTES_PREFIX = Buffer.from("bytes:");

function digestOfBytes(bytes: Uint8Array): string {
  return hash("sha256", Buffer.concat([BYTES_PREFIX, bytes]), "hex");
}

/** Whether this release can compare with a stored fingerprint at all. */
export function isComparable(fingerprint: string): boolean {
  return fingerprint.startsWith(`${VERSION}:`);
}
