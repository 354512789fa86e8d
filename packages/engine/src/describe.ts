/**
 * The one rule about texts in option errors: only a word is shown. Names of options and their values
 * are words, such as 'at-most-once'. API keys, tokens, UUIDs, addresses and URLs are none: they have
 * digits, underscores, dots or more letters.
 */
const WORD = /^[A-Za-z-]{1,20}$/;
/** Class names have digits, but no key or token has only these letters and is so short. */
const CLASS_NAME = /^[A-Za-z][A-Za-z0-9]{0,29}$/;

/**
 * The kind of a wrong value, for an error message, and the value itself of a number or boolean. A
 * string shows its length alone: a key, a scope or a payload may be a secret, even if it is a word.
 */
export function describe(value: unknown): string {
  if (value === null) return "null";
  switch (typeof value) {
    case "string":
      return value === "" ? "an empty string" : `a string of ${value.length} characters`;
    case "number":
    case "boolean":
      return String(value);
    case "undefined":
      return "undefined";
    case "bigint":
      return "a BigInt";
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    default:
      return describeObject(value as object);
  }
}

/** A wrong value of an option: a word as it is, and any other value by its kind. */
export function shown(value: unknown): string {
  return isWord(value) ? `'${value}'` : describe(value);
}

/** The name of an option that does not exist, as the subject of a sentence. */
export function named(name: string): string {
  return isWord(name) ? name : describe(name);
}

function isWord(value: unknown): boolean {
  return typeof value === "string" && WORD.test(value);
}

function describeObject(value: object): string {
  try {
    if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
    const prototype: object | null = Object.getPrototypeOf(value);
    if (prototype === null || prototype === Object.prototype) return "an object";
    // Asked of the prototype: a member named `constructor` of the value itself is data.
    const name: unknown = prototype.constructor.name;
    if (typeof name === "string" && CLASS_NAME.test(name)) return `an instance of ${name}`;
  } catch {
    // A proxy or a getter threw. An error message must not fail because of it, or quote it.
  }
  return "an object of some class";
}
