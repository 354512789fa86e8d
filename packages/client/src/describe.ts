const SHOWN_LENGTH_MAX = 40;

/**
 * What a wrong value is, for an error message. Strings show their length alone, as they may be
 * secrets or somebody's data.
 */
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

/** Options are the programmer's own words, so that a short wrong one may be shown. */
export function shown(value: unknown): string {
  const isShort = typeof value === "string" && value.length <= SHOWN_LENGTH_MAX && value !== "";
  return isShort ? `'${value}'` : describe(value);
}

function describeObject(value: object): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  const tag = tagOf(value);
  return tag === "Object" ? "an object" : `an instance of ${tag}`;
}

/** What kind of object it is, by a word that also holds for those of other realms. */
export function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
