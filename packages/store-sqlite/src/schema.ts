import { columnProblems } from "@idemkit/engine/model";
import type { SqliteHandle } from "./handle.ts";

/** Name, type, whether it must not be NULL. */
const COLUMNS = [
  "digest BLOB NOT NULL",
  "scope TEXT NOT NULL",
  "key TEXT NOT NULL",
  "status TEXT NOT NULL",
  "fingerprint TEXT NOT NULL",
  "owner TEXT NOT NULL",
  "token INTEGER NOT NULL",
  "attempt INTEGER NOT NULL",
  "taken_over INTEGER NOT NULL",
  "lease_ends_at INTEGER NOT NULL",
  "expires_at INTEGER NOT NULL",
  "created_at INTEGER NOT NULL",
  "completed_at INTEGER",
  "checkpoint_revision INTEGER",
  "checkpoint TEXT",
  "note TEXT",
  "body TEXT",
];

interface Column {
  readonly name: string;
  readonly type: string;
  readonly notnull: number | bigint;
  readonly dflt_value: string | null;
  readonly pk: number | bigint;
  /** Above 1 for a column that is computed. */
  readonly hidden: number | bigint;
}

/** Whether there is a table, or a view, of that name. */
export function hasTable(db: SqliteHandle, name: string): boolean {
  const found = "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?";
  return db.prepare(found).get(name) !== undefined;
}

/** Why the table cannot hold records: its primary key and its columns. */
export function tableProblems(db: SqliteHandle): readonly string[] {
  const columns = db.pragma("table_xinfo(idemkit_records)") as readonly Column[];
  const found = columns.map(({ name, type, notnull, dflt_value: fallback, hidden }) => ({
    name,
    type: `${type.toUpperCase()}${Number(notnull) === 1 ? " NOT NULL" : ""}`,
    isFilled: Number(notnull) === 0 || fallback !== null || Number(hidden) > 1,
  }));
  // Without it, nothing would keep two claims of one record apart.
  const key = columns.filter(({ pk }) => Number(pk) > 0).map(({ name }) => name);
  const problems = key.join() === "digest" ? [] : ["idemkit_records lacks PRIMARY KEY (digest)."];
  return [...problems, ...columnProblems("idemkit_records", COLUMNS, found)];
}
