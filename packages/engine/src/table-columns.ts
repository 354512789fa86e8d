/** A column of a table that is there. */
interface FoundColumn {
  readonly name: string;
  /** As the database writes it, and `NOT NULL` where it must not be NULL. */
  readonly type: string;
  /** Whether a row may be inserted that does not name it. */
  readonly isFilled: boolean;
}

/**
 * How the columns of an SQL store's table differ from those that its statements need.
 *
 * @param needed name and type of each column, as in `FoundColumn`, with a blank in between
 * @returns a sentence for each difference
 */
export function columnProblems(
  table: string,
  needed: readonly string[],
  found: readonly FoundColumn[],
): readonly string[] {
  const types = new Map(found.map(({ name, type }) => [name, type]));
  const problems: string[] = [];
  const known = new Set<string>();
  for (const column of needed) {
    const [name = "", ...words] = column.split(" ");
    const [type, wanted] = [types.get(name), words.join(" ")];
    known.add(name);
    if (type === undefined) problems.push(`${table} lacks the column ${column}.`);
    else if (type !== wanted) {
      problems.push(`The column ${name} of ${table} is ${type}: it has to be ${wanted}.`);
    }
  }
  for (const { name, isFilled } of found) {
    if (known.has(name) || isFilled) continue;
    problems.push(
      `${table} has a column ${name} that no claim fills: it is NOT NULL without default.`,
    );
  }
  return problems;
}

/**
 * Refuses a table of a store's name that cannot hold its records.
 *
 * @param problems how it differs
 * @throws Error that lists them, unless there are none
 */
export function refuseOtherTable(table: string, problems: readonly string[]): void {
  if (problems.length === 0) return;
  throw new Error(
    `There is a table ${table} that cannot hold idemkit's records, and it was left as it is. ` +
      `${problems.join(" ")} Rename that table, or keep idemkit's in another schema or database.`,
  );
}
