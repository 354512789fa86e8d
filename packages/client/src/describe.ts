/**
 * The one rule about texts in option errors, the same as in the engine: only a word is shown. API keys,
 * tokens, UUIDs, addresses and URLs have digits, underscores, dots or more letters.
 */
const WORD = /^[A-Za-z-]{1,20}$/;
const CLASS_NAME = /^[A-Za-z_$][\w$]{0,39}$/;

/** The kind of a wrong value, for an error message. A string shows its length alone. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (value === "") return "an empty string";
  switch (typeof value) {
    case "string":
      return `a string of ${value.length} characters`;
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      return describeObject(value as object);
    default:
      return `a ${typeof value}`;
  }
}

/** A wrong value of an option: a word as it is, and any other value by its kind. */
export function shown(value: unknown): string {
  return isWord(value) ? `'${value}'` : describe(value);
}

/** A name within a sentence, such as a header's: a word as it is, and any other by its kind. */
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
    // Asked of the prototype: a member named `constructor` of the value itself is data.
    const name: unknown = prototype === null ? "Object" : prototype.constructor.name;
    if (name === "Object") return "an object";
    if (typeof name === "string" && CLASS_NAME.test(name)) return `an instance of ${name}`;
  } catch {
    // A proxy or a getter threw. An error message must not fail because of it, or quote it.
  }
  return "an object of some class";
}

/** What kind of object it is, by a word that also holds for those of other realms. */
export function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
