/**
 * The two forms of a statement: `one`, on an entry whose values are parameters of their own, and
 * `list`, on any number of them. Every parameter travels as text, as numbers would travel as floating
 * ones.
 */

/** A value of an entry. */
type Value = string | number | boolean | null;
export type Entry = Readonly<Record<string, Value>>;

/** A statement on one entry, and on many. */
export interface Pair {
  readonly one: string;
  /** The values of an entry that `one` asks for, one by one. */
  readonly asked: readonly string[];
  readonly list: string;
  /** The values of an entry in the arrays of `list`. */
  readonly columns: readonly string[];
}

/** The values of an entry. */
export type Parameters = Readonly<Record<string, "digest" | "text" | "bigint" | "boolean">>;

/** What differs between the forms. */
export interface Form {
  readonly isList: boolean;
  /** A value of the entry, as an expression. */
  readonly value: (name: string) => string;
  /** The entries as a table, with each of which a record is joined. Empty for one entry. */
  readonly entries: string;
}

/** Without a charset MariaDB takes the database's, and writes what that lacks as question marks. */
const COLUMN_TYPES = {
  digest: "VARCHAR(32) CHARACTER SET utf8mb4",
  text: "LONGTEXT CHARACTER SET utf8mb4",
  bigint: "BIGINT",
  boolean: "BIGINT",
} as const;

export function pair(parameters: Parameters, text: (form: Form) => string): Pair {
  const columns = Object.keys(parameters);
  const asked: string[] = [];
  const one = text({
    isList: false,
    value: (name) => {
      asked.push(name);
      return typed(parameters[name], "?");
    },
    entries: "",
  });
  const table = Object.entries(parameters).map(
    ([name, type], index) => `\`${name}\` ${COLUMN_TYPES[type]} PATH '$[${index}]'`,
  );
  const list = text({
    isList: true,
    value: (name) => typed(parameters[name], `request.\`${name}\``),
    entries: `JSON_TABLE(?, '$[*]' COLUMNS (${table.join(", ")})) AS request`,
  });
  return { one, asked, list, columns };
}

function typed(type: Parameters[string] | undefined, value: string): string {
  if (type === "digest") return `UNHEX(${value})`;
  return type === "text" ? value : `CAST(${value} AS SIGNED)`;
}

/** The parameters of the statement `one`. */
export function valuesOfOne({ asked }: Pair, entry: Entry): readonly (string | null)[] {
  return asked.map((name) => textOf(entry[name]));
}

/** The parameter of the statement `list`: in the order in which everybody locks records. */
export function valuesOfList({ columns }: Pair, entries: readonly Entry[]): readonly string[] {
  const rows = entries.map((entry) => columns.map((name) => textOf(entry[name])));
  const digest = columns.indexOf("digest");
  rows.sort((one, other) => ((one[digest] ?? "") < (other[digest] ?? "") ? -1 : 1));
  return [JSON.stringify(rows)];
}

function textOf(value: Value | undefined): string | null {
  if (typeof value === "boolean") return value ? "1" : "0";
  return value == null ? null : String(value);
}
