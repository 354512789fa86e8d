import { refuseOtherTable } from "@idemkit/engine/model";
import { databaseOf, type MysqlClient } from "./client.ts";
import type { Queries } from "./queries.ts";
import { tableProblems } from "./schema.ts";

export interface Migration {
  readonly version: number;
  /** The text of the file of that number in the package's folder `sql`. It may be run twice. */
  readonly statement: string;
}

/** In order. A released migration never changes: what has to change comes as the next one. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    statement: `CREATE TABLE IF NOT EXISTS idemkit_records (
  digest binary(16) NOT NULL PRIMARY KEY,
  scope varchar(1024) NOT NULL,
  \`key\` varchar(255) NOT NULL,
  status varchar(16) NOT NULL,
  fingerprint varchar(255) NOT NULL,
  owner varbinary(255) NOT NULL,
  token bigint NOT NULL,
  attempt int NOT NULL,
  taken_over tinyint NOT NULL,
  lease_ends_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  created_at bigint NOT NULL,
  completed_at bigint NULL,
  checkpoint_revision bigint NULL,
  checkpoint longtext NULL,
  note longtext NULL,
  body longtext NULL,
  INDEX idemkit_records_expires_at (expires_at)
) ENGINE = InnoDB, CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
`,
  },
];

export const LATEST_VERSION = migrations.length;

const MIGRATIONS_TABLE = `
  CREATE TABLE IF NOT EXISTS idemkit_migrations (
    version int NOT NULL PRIMARY KEY,
    applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
  ) ENGINE = InnoDB`;

/** Whoever migrates this database waits here for the others. Names of locks are the server's. */
const LOCK_NAME = "CONCAT('idemkit ', SHA2(COALESCE(DATABASE(), ''), 224))";
const LOCK_S_MAX = 60;
const LOCK = `SELECT GET_LOCK(${LOCK_NAME}, ${LOCK_S_MAX}), DATABASE()`;
const UNLOCK = `SELECT RELEASE_LOCK(${LOCK_NAME})`;

const TABLES = `
  SELECT table_name FROM information_schema.tables
  WHERE table_schema = DATABASE() AND table_name IN ('idemkit_records', 'idemkit_migrations')`;

const APPLIED = "SELECT COALESCE(MAX(version), 0) FROM idemkit_migrations";

const RECORD_APPLIED = "INSERT IGNORE INTO idemkit_migrations (version) VALUES (?)";

/**
 * Creates idemkit's tables in the connection's database, or brings them up to date. Any number of
 * processes may call it at once, and again at every start: one does the work, and the others find it
 * done. Where there is nothing to do, it needs no right but to read. Tables that were made by other
 * means, such as drizzle-kit, are left to them.
 *
 * @returns the versions that this call applied
 * @throws TypeError where the client is something else
 * @throws Error where the database was migrated by a newer release, has a table of that name that cannot hold
 *   records, with the differences, or another migration goes on for more than a minute; the driver's own errors
 */
export async function migrate(client: MysqlClient): Promise<readonly number[]> {
  return await databaseOf(client).session(async (queries) => {
    const [[hasLock, chosen] = []] = await queries.read(LOCK);
    if (chosen == null) {
      throw new Error("The connection has no database: name a database in the URL of the pool.");
    }
    if (hasLock !== "1") {
      throw new Error(
        `Another migration of this database has not ended within ${LOCK_S_MAX} s: call migrate again ` +
          "once it has, or end its connection.",
      );
    }
    try {
      return await apply(queries);
    } finally {
      await queries.read(UNLOCK);
    }
  });
}

async function apply(queries: Queries): Promise<readonly number[]> {
  const tables = await tablesIn(queries);
  const hasRecords = tables.includes("idemkit_records");
  // A table that was dropped by hand has to be made again, whatever was noted.
  const applied = hasRecords ? await appliedVersion(queries, tables) : 0;
  // Looked at first: a migration of a table that is not ours could not be undone.
  if (hasRecords && applied === 0) await refuseOther(queries);
  // Tables that were made by other means are kept up to date by those means.
  if (hasRecords && !tables.includes("idemkit_migrations")) return [];
  if (applied > LATEST_VERSION) {
    throw new Error(
      `This database has idemkit's schema version ${applied}, and this release knows ` +
        `${LATEST_VERSION}: a newer release has migrated it. Update @idemkit/store-mysql.`,
    );
  }
  const missing = migrations.filter(({ version }) => version > applied);
  if (missing.length > 0) await queries.define(MIGRATIONS_TABLE);
  for (const { version, statement } of missing) {
    await queries.define(statement);
    await queries.write(RECORD_APPLIED, [String(version)]);
  }
  await refuseOther(queries);
  return missing.map(({ version }) => version);
}

async function refuseOther(queries: Queries): Promise<void> {
  refuseOtherTable("idemkit_records", await tableProblems(queries));
}

/** idemkit's tables in the database. */
export async function tablesIn(queries: Queries): Promise<readonly string[]> {
  return (await queries.read(TABLES)).map(([name]) => name ?? "");
}

/** The schema version of the database; 0 where no migration was noted. */
export async function appliedVersion(queries: Queries, tables: readonly string[]): Promise<number> {
  if (!tables.includes("idemkit_migrations")) return 0;
  const [row] = await queries.read(APPLIED);
  return Number(row?.[0]);
}
