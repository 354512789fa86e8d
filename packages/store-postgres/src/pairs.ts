/**
 * The two forms of a statement: `one`, on an entry whose values are parameters of their own, and
 * `list`, on any number of them. Every parameter travels as text, so that no driver's types matter.
 */

/** A statement on one entry, and on many. */
export interface Pair {
  readonly one: string;
  readonly list: string;
}

/** The values of an entry, in their order. */
export type Parameters = Readonly<Record<string, "uuid" | "text" | "bigint" | "boolean">>;

/** How long a statement waits for a row that somebody else has locked. */
const LOCK_TIMEOUT_MS = 1_000;
/** It ends with the statement's own transaction, and is called before a row is locked. */
const SET_LOCK_TIMEOUT = `set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true)`;

/** The statement inside somebody's transaction, whose time-outs are theirs. */
export function asItIsSet(text: string): string {
  return text.replaceAll(SET_LOCK_TIMEOUT, "current_setting('lock_timeout')");
}

/** What differs between the forms. */
export interface Form {
  /** The common table expressions that everything else stands on. */
  readonly with: string;
  /** The entries, as rows called `request`. */
  readonly request: string;
  /** The entries beside their records, which are called `stored`. */
  readonly found: string;
  /** What {@link locked} stands on. */
  readonly withLocked: string;
  /** The entries once more, whose records are locked in the order of their digests. */
  readonly locked: string;
  /** Whether an entry has no row in the table expression `found`. */
  readonly isAbsent: string;
  /** What sets the time for which a row is waited for, where that is not done yet. */
  readonly waits: string;
}

/** The values are put where they are used when the statement is planned. */
function formOfOne(parameters: Parameters): Form {
  const columns = Object.entries(parameters).map(
    ([name, type], index) => `$${index + 1}::text::${type} AS ${name}`,
  );
  const request = `(SELECT ${columns.join(", ")}) AS request`;
  return {
    with: "",
    request,
    found: `${request} JOIN idemkit_records AS stored ON stored.digest = request.digest`,
    withLocked: "",
    locked: request,
    isAbsent: "NOT EXISTS (SELECT FROM found)",
    waits: `${SET_LOCK_TIMEOUT} IS NOT NULL`,
  };
}

/**
 * The values are an array of arrays in JSON. A look-up of each record by itself keeps the planner from
 * joining them with the whole table.
 */
function formOfList(parameters: Parameters): Form {
  const columns = Object.entries(parameters).map(
    ([name, type], index) => `(entry ->> ${index})::${type} AS ${name}`,
  );
  const stored = (how: string) => `request CROSS JOIN LATERAL (
        SELECT * FROM idemkit_records WHERE digest = request.digest LIMIT 1${how}) AS stored`;
  const entries = `setting AS MATERIALIZED (SELECT ${SET_LOCK_TIMEOUT}),
    request AS MATERIALIZED (
      SELECT ${columns.join(", ")}
      FROM setting, jsonb_array_elements($1::text::jsonb) AS entry
      ORDER BY digest),`;
  return {
    with: entries,
    request: "request",
    found: stored(""),
    withLocked: `WITH ${entries}
    locked AS MATERIALIZED (SELECT request.* FROM ${stored(" FOR UPDATE")})`,
    locked: "locked AS request",
    isAbsent: "NOT EXISTS (SELECT FROM found WHERE found.digest = request.digest)",
    waits: "true",
  };
}

export function pair(parameters: Parameters, text: (form: Form) => string): Pair {
  return { one: text(formOfOne(parameters)), list: text(formOfList(parameters)) };
}
