import { columnProblems } from "@idemkit/engine/model";
import type { Queries } from "./queries.ts";

/** Name, type, whether it must not be NULL. */
const COLUMNS = [
  "digest uuid NOT NULL",
  "scope text NOT NULL",
  "key text NOT NULL",
  "status text NOT NULL",
  "fingerprint text NOT NULL",
  "owner text NOT NULL",
  "token bigint NOT NULL",
  "attempt integer NOT NULL",
  "taken_over boolean NOT NULL",
  "lease_ends_at bigint NOT NULL",
  "expires_at bigint NOT NULL",
  "created_at bigint NOT NULL",
  "completed_at bigint",
  "checkpoint_revision bigint",
  "checkpoint text",
  "note text",
  "body text",
];

/** Parameters: the table's name. */
const TABLE_COLUMNS = `
  SELECT attname,
    format_type(atttypid, atttypmod) || CASE WHEN NOT collisdeterministic THEN ' that ignores case or accents' ELSE '' END,
    attnotnull, atthasdef OR attidentity <> ''
  FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
  WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped
  ORDER BY attnum`;

/** The columns of each index that may be used. Parameters: the table's name. */
export const TABLE_INDEXES = `
  SELECT indisprimary, (
    SELECT string_agg(attname, ',' ORDER BY position)
    FROM unnest(indkey) WITH ORDINALITY AS keys (attnum, position)
    JOIN pg_attribute ON attrelid = indrelid AND pg_attribute.attnum = keys.attnum)
  FROM pg_index
  WHERE indrelid = to_regclass($1::text) AND indisvalid AND indpred IS NULL`;

/** Why the table cannot hold records: its primary key and its columns. */
export async function tableProblems(queries: Queries, table: string): Promise<readonly string[]> {
  const indexes = await queries.run(TABLE_INDEXES, [table]);
  const columns = await queries.run(TABLE_COLUMNS, [table]);
  const found = columns.map(([name, type, isNotNull, hasDefault]) => ({
    name: name ?? "",
    type: `${type}${isNotNull === "t" ? " NOT NULL" : ""}`,
    isFilled: isNotNull === "f" || hasDefault === "t",
  }));
  // Without it, nothing would keep two claims of one record apart.
  const hasKey = indexes.some(([isPrimary, keys]) => isPrimary === "t" && keys === "digest");
  const problems = hasKey ? [] : [`${table} lacks PRIMARY KEY (digest).`];
  return [...problems, ...columnProblems(table, COLUMNS, found)];
}
