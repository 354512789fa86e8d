/**
 * The two forms of a statement: `one`, whose plan is kept by the server, and `list`, which takes an
 * array for each parameter. Every parameter travels as text, so that no driver's types matter.
 */

/** A statement on one entry, and on many. Both take their parameters in this order. */
export interface Pair {
  readonly one: string;
  readonly list: string;
}

/** How long a statement waits for a row that somebody else has locked. */
const LOCK_TIMEOUT_MS = 1_000;
/** It ends with the statement's own transaction, and is set before any row is touched. */
export const SETTING = `
  setting AS MATERIALIZED (
    SELECT set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true))`;

export type Parameters = Readonly<Record<string, "uuid" | "text" | "bigint" | "boolean">>;

/** One entry as a row. */
export function entry(parameters: Parameters): string {
  const columns = Object.entries(parameters).map(
    ([name, type], index) => `$${index + 1}::text::${type} AS ${name}`,
  );
  return `SELECT ${columns.join(", ")} FROM setting`;
}

/** Many entries as rows, in the order in which rows are locked. */
export function entries(parameters: Parameters): string {
  const arrays = Object.values(parameters).map((type, index) => `$${index + 1}::text::${type}[]`);
  const names = Object.keys(parameters).join(", ");
  return `SELECT ${names} FROM setting, unnest(${arrays.join(", ")}) AS entry (${names})
    ORDER BY digest`;
}

/** An update whose conditions compare `stored` with `request`. Answers something of each changed row. */
export function update(
  parameters: Parameters,
  set: string,
  condition: string,
  answer = "stored.digest",
): Pair {
  const change = (from: string) => `
    UPDATE idemkit_records AS stored SET ${set}
    FROM ${from}
    WHERE stored.digest = request.digest AND ${condition}
    RETURNING ${answer}`;
  return {
    one: `WITH ${SETTING}, request AS MATERIALIZED (${entry(parameters)}) ${change("request")}`,
    // Rows are locked in the order of their digests first, as an update takes them in any order.
    list: `
    WITH ${SETTING}, request AS MATERIALIZED (${entries(parameters)}),
    locked AS MATERIALIZED (
      SELECT request.digest FROM request CROSS JOIN LATERAL (
        SELECT 1 FROM idemkit_records WHERE digest = request.digest LIMIT 1 FOR UPDATE) AS row)
    ${change("request JOIN locked USING (digest)")}`,
  };
}

/** Which of the entries stand there already. */
export function standing(parameters: Parameters, condition: string): Pair {
  const select = (source: string) => `
    WITH ${SETTING}, request AS MATERIALIZED (${source})
    SELECT request.digest FROM request CROSS JOIN LATERAL (
      SELECT 1 FROM idemkit_records AS stored
      WHERE stored.digest = request.digest AND ${condition} LIMIT 1) AS row`;
  return { one: select(entry(parameters)), list: select(entries(parameters)) };
}
