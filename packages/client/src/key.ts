import { describe } from "./describe.ts";

/**
 * How a key is written into its header: `quoted` is the string of RFC 8941 that the draft asks for,
 * `bare` is the key as it is, which older services expect.
 */
export type KeyFormat = "quoted" | "bare";

const KEY_LENGTH_MAX = 255;

/** @throws TypeError where the runtime cannot make one */
export function newKey(): string {
  const source: { randomUUID?(): string } | undefined = globalThis.crypto;
  if (typeof source?.randomUUID === "function") return source.randomUUID();
  throw new TypeError(
    "key: none could be made, as crypto.randomUUID is missing here (browsers have it on pages of " +
      "https and localhost only). Pass a `key` of your own.",
  );
}

/** @throws TypeError unless it is a key that can be written in this format */
export function checkKey(key: unknown, format: KeyFormat): string {
  if (typeof key !== "string" || key === "" || key.length > KEY_LENGTH_MAX) {
    throw new TypeError(
      `key: expected a string of 1 to ${KEY_LENGTH_MAX} characters, got ${describe(key)}.`,
    );
  }
  if (!/^[ -~]+$/.test(key) || key.trim() === "") {
    throw new TypeError("key: expected printable ASCII characters, and not blanks alone.");
  }
  // Unquoted, these would mean something else to a server, or get lost on the way.
  if (format === "bare" && /[ ",]/.test(key)) {
    throw new TypeError(
      "key: expected no blank, comma or double quote under `keyFormat: 'bare'`. " +
        "Use another key, or 'quoted'.",
    );
  }
  return key;
}

/** The header's value for a key that was checked. */
export function headerValueOf(key: string, format: KeyFormat): string {
  return format === "bare" ? key : `"${key.replaceAll(/["\\]/g, "\\$&")}"`;
}
