const SHOWN_LENGTH_MAX = 40;

/**
 * What a wrong value is, for an error message: its kind, and for plain scalars in options its
 * value. Strings show their length alone, as they may be secrets or somebody's data.
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

/** Options are the programmer's own words, so that a short wrong one may be shown. */
export function shown(value: unknown): string {
  const isShort = typeof value === "string" && value.length <= SHOWN_LENGTH_MAX;
  return isShort ? `'${value}'` : describe(value);
}

function describeObject(value: object): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return "an object";
  const name: unknown = value.constructor?.name;
  const isShown = typeof name === "string" && name !== "" && name.length <= SHOWN_LENGTH_MAX;
  return isShown ? `an instance of ${name}` : "an object of some class";
}
