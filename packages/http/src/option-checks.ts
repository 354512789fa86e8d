import { shown } from "@idemkit/engine/model";

/** @throws TypeError unless the option is missing or one of these words */
export function oneOf<const T extends string>(
  options: object,
  name: string,
  known: readonly T[],
): T | undefined {
  const value = (options as Readonly<Record<string, unknown>>)[name];
  if (value === undefined || known.includes(value as T)) return value as T | undefined;
  throw wrong(name, known.map((each) => `'${each}'`).join(" or "), value);
}

/** @throws TypeError unless the option is missing or of this type */
export function ofType<O extends object, Name extends keyof O & string>(
  options: O,
  name: Name,
  type: "boolean" | "function",
): O[Name] | undefined {
  const value = options[name];
  if (value === undefined || typeof value === type) return value;
  throw wrong(name, `a ${type}`, value);
}

/** @throws TypeError unless the option is given and of this type */
export function required<O extends object, Name extends keyof O & string>(
  options: O,
  name: Name,
  type: "function",
): O[Name] & {} {
  const value = ofType(options, name, type);
  if (value === undefined || value === null) throw wrong(name, `a ${type}`, value);
  return value;
}

/** An error about an option. A text among the values is shown only if it is a word: it may be a secret. */
export function wrong(name: string, expected: string, came: unknown): TypeError {
  return new TypeError(`${name}: expected ${expected}, got ${shown(came)}.`);
}
