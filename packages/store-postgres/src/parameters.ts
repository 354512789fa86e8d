/** A value of an entry. */
export type Value = string | number | boolean | null;

/** The parameters of a statement on one entry. */
export function oneOf(values: readonly Value[]): readonly (string | null)[] {
  return values.map((value) => (value === null ? null : String(value)));
}

/** The parameter of a statement on many. */
export function listOf(entries: readonly (readonly Value[])[]): readonly string[] {
  return [JSON.stringify(entries)];
}
