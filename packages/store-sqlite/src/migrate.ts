import { refuseOtherTable } from "@idemkit/engine/model";
import { handleOf, type SqliteClient, type SqliteHandle } from "./handle.ts";
import { hasTable, tableProblems } from "./schema.ts";
import { Transactions } from "./transactions.ts";

export interface Migration {
  readonly version: number;
  /** The same text as the file of that number in the package's folder `sql`. */
  readonly sql: string;
}

/** In order. A released migration never changes: what has to change comes as the next one. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `CREATE TABLE idemkit_records (
  digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 16),
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('claimed', 'succeeded', 'failed', 'unknown', 'released')),
  fingerprint TEXT NOT NULL,
  owner TEXT NOT NULL,
  token INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  taken_over INTEGER NOT NULL,
  lease_ends_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  completed_at INTEGER,
  checkpoint_revision INTEGER,
  checkpoint TEXT,
  note TEXT,
  body TEXT
) STRICT;

CREATE INDEX idemkit_records_expires_at ON idemkit_records (expires_at);
`,
  },
];

export const LATEST_VERSION = migrations.length;

const MIGRATIONS_TABLE = `
  CREATE TABLE IF NOT EXISTS idemkit_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at INTEGER NOT NULL
  ) STRICT`;

const APPLIED = "SELECT ifnull(max(version), 0) AS version FROM idemkit_migrations";

const FORGET_DROPPED = "DELETE FROM idemkit_migrations";

const RECORD_APPLIED = `
  INSERT INTO idemkit_migrations (version, applied_at)
  VALUES (@version, CAST(round(unixepoch('subsec') * 1000) AS INTEGER))`;

/**
 * Creates idemkit's tables, or brings them up to date, in one transaction. Any number of processes
 * may call it at once, and again at every start: one does the work, and the others find it done. Tables that were
 * made by other means, such as drizzle-kit, are left to them.
 *
 * @returns the versions that this call applied
 * @throws Error where the database was migrated by a newer release, or has a table of that name that cannot hold
 *   records, with the differences; the driver's own errors
 */
export async function migrate(client: SqliteClient): Promise<readonly number[]> {
  const db = handleOf(client);
  return await new Transactions(db).write(() => {
    const hasRecords = hasTable(db, "idemkit_records");
    const hasMigrations = hasTable(db, "idemkit_migrations");
    const refuseOther = () => refuseOtherTable("idemkit_records", tableProblems(db));
    // A table that was dropped by hand has to be made again, whatever was noted.
    const applied = hasRecords && hasMigrations ? appliedVersion(db) : 0;
    if (hasRecords && applied === 0) refuseOther();
    // Tables that were made by other means are kept up to date by those means.
    if (hasRecords && !hasMigrations) return [];
    db.exec(MIGRATIONS_TABLE);
    if (!hasRecords) db.exec(FORGET_DROPPED);
    if (applied > LATEST_VERSION) {
      throw new Error(
        `This database has idemkit's schema version ${applied}, and this release knows ` +
          `${LATEST_VERSION}: a newer release has migrated it. Update @idemkit/store-sqlite.`,
      );
    }
    const missing = migrations.filter(({ version }) => version > applied);
    for (const { version, sql } of missing) {
      db.exec(sql);
      db.prepare(RECORD_APPLIED).run({ version });
    }
    refuseOther();
    return missing.map(({ version }) => version);
  });
}

/** The schema version of the database; its table of migrations has to be there. */
export function appliedVersion(db: SqliteHandle): number {
  const row = db.prepare(APPLIED).safeIntegers(false).get() as { readonly version: number };
  return row.version;
}
