import { columnProblems } from "@idemkit/engine/model";
import type { Queries, TextRow } from "./queries.ts";

/** Name, type and whether it must not be NULL. */
const COLUMNS = [
  "digest binary(16) NOT NULL",
  "scope varchar(1024) NOT NULL",
  "key varchar(255) NOT NULL",
  "status varchar(16) NOT NULL",
  "fingerprint varchar(255) NOT NULL",
  "owner varbinary(255) NOT NULL",
  "token bigint NOT NULL",
  "attempt int NOT NULL",
  "taken_over tinyint NOT NULL",
  "lease_ends_at bigint NOT NULL",
  "expires_at bigint NOT NULL",
  "created_at bigint NOT NULL",
  "completed_at bigint",
  "checkpoint_revision bigint",
  "checkpoint longtext",
  "note longtext",
  "body longtext",
];

export const OF_TABLE = "WHERE table_schema = DATABASE() AND table_name = 'idemkit_records'";
const TABLE_COLUMNS = `
  SELECT column_name, column_type, is_nullable,
    CASE WHEN extra LIKE '%GENERATED%' THEN 'generated' ELSE column_default END, character_set_name
  FROM information_schema.columns ${OF_TABLE}
  ORDER BY ordinal_position`;
export const TABLE_INDEXES = `
  SELECT index_name, non_unique, GROUP_CONCAT(
    column_name, COALESCE(CONCAT('(', sub_part, ')'), '') ORDER BY seq_in_index)
  FROM information_schema.statistics ${OF_TABLE}
  GROUP BY index_name, non_unique`;

/** Why the table cannot hold records: its primary key and its columns. */
export async function tableProblems(queries: Queries): Promise<readonly string[]> {
  const indexes = await queries.read(TABLE_INDEXES);
  const columns = await queries.read(TABLE_COLUMNS);
  const found = columns.map(([name, type, isNullable, fallback]) => {
    // MariaDB still writes the width in which numbers were shown once.
    const plain = String(type).replace(/(int)\(\d+\)/, "$1");
    return {
      name: name ?? "",
      type: `${plain}${isNullable === "NO" ? " NOT NULL" : ""}`,
      isFilled: isNullable === "YES" || fallback !== null,
    };
  });
  // Without it, nothing would keep two claims of one record apart.
  const hasKey = indexes.some(([name, , keys]) => name === "PRIMARY" && keys === "digest");
  const problems = hasKey ? [] : ["idemkit_records lacks PRIMARY KEY (digest)."];
  problems.push(...columnProblems("idemkit_records", COLUMNS, found));
  return [...problems, ...charsetProblems(columns)];
}

function charsetProblems(columns: readonly TextRow[]): readonly string[] {
  const known = COLUMNS.map((column) => column.split(" ")[0]);
  const others = columns.filter(
    ([name, , , , charset]) =>
      charset != null && charset !== "utf8mb4" && known.includes(name ?? ""),
  );
  return others.map(
    ([name, , , , charset]) =>
      `The column ${name} of idemkit_records holds ${charset}: it has to be utf8mb4.`,
  );
}
