/** A value of one parameter. */
export type Value = string | number | boolean | null;

/** The parameters of a statement on one entry. */
export function oneOf(values: readonly Value[]): readonly (string | null)[] {
  return values.map((value) => (value === null ? null : String(value)));
}

/** The parameters of a statement on many: for each parameter an array with the value of each entry. */
export function listOf(entries: readonly (readonly Value[])[]): readonly string[] {
  const [first = []] = entries;
  return first.map((_, index) => arrayOf(entries.map((entry) => entry[index] ?? null)));
}

/** As Postgres reads arrays: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function arrayOf(values: readonly Value[]): string {
  return `{${values.map(elementOf).join(",")}}`;
}

function elementOf(value: Value): string {
  if (value === null) return "NULL";
  return typeof value === "string" ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : String(value);
}
