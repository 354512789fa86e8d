export interface PostgresStoreOptions {
  /** Where the tables are. Default: the first schema of the connection's search path that has them. */
  readonly schema?: string;
  /**
   * Whether the server may keep plans under names, which saves it most of its work for each call.
   * Switch it off behind a pooler that shares connections between transactions and does not follow
   * named statements, such as PgBouncer in transaction mode before 1.21 or with
   * `max_prepared_statements = 0`. `check()` finds such a pooler. Default: true.
   */
  readonly prepare?: boolean;
}

/** What Postgres takes for a name in lower case, without need of quotes. */
const IDENTIFIER = /^[a-z_][a-z0-9_]{0,62}$/;

/** @throws TypeError that says what was expected */
export function optionsOf({ schema, prepare = true, ...others }: PostgresStoreOptions) {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(`${unknown}: no such option. Expected schema or prepare.`);
  }
  if (typeof prepare !== "boolean") throw new TypeError("prepare: expected true or false.");
  checkSchema(schema);
  return { schema, prepare };
}

/** @throws TypeError where it is no plain name */
export function checkSchema(schema: string | undefined): void {
  if (schema === undefined || (typeof schema === "string" && IDENTIFIER.test(schema))) return;
  throw new TypeError(
    "schema: expected a name of 1 to 63 lower-case letters, digits and underscores that does not " +
      "begin with a digit.",
  );
}
