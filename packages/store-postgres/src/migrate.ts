import { refuseOtherTable } from "@idemkit/engine/model";
import { databaseOf, type PostgresClient } from "./client.ts";
import { checkSchema } from "./options.ts";
import type { Queries } from "./queries.ts";
import { tableProblems } from "./schema.ts";
import { inSchema } from "./statements.ts";

export interface Migration {
  readonly version: number;
  /** Together the text of the file of that number in the package's folder `sql`. */
  readonly statements: readonly string[];
}

/** In order. A released migration never changes: what has to change comes as the next one. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    statements: [
      `CREATE TABLE idemkit_records (
  digest uuid NOT NULL PRIMARY KEY,
  scope text NOT NULL,
  key text NOT NULL,
  status text NOT NULL,
  fingerprint text NOT NULL,
  owner text NOT NULL,
  token bigint NOT NULL,
  attempt integer NOT NULL,
  taken_over boolean NOT NULL,
  lease_ends_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  created_at bigint NOT NULL,
  completed_at bigint,
  checkpoint_revision bigint,
  checkpoint text,
  note text,
  body text
) WITH (fillfactor = 80);
`,
      `CREATE INDEX idemkit_records_expires_at ON idemkit_records (expires_at);
`,
    ],
  },
];

export const LATEST_VERSION = migrations.length;

/** Whoever migrates waits here for the others. The number is "idem" in ASCII. */
const LOCK = "SELECT pg_advisory_xact_lock(1768187245)";

const HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = $1";

const SCHEMA_IN_USE = `
  SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE pg_class.oid = coalesce(to_regclass('idemkit_records'), to_regclass('idemkit_migrations'))`;

const MIGRATIONS_TABLE = `
  CREATE TABLE IF NOT EXISTS idemkit_migrations (
    version integer NOT NULL PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`;

const TABLES = "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL";

const APPLIED = "SELECT coalesce(max(version), 0) FROM idemkit_migrations";

const RECORD_APPLIED = `
  INSERT INTO idemkit_migrations (version) VALUES ($1::text::integer) ON CONFLICT DO NOTHING`;

export interface MigrateOptions {
  /** Where the tables go; it is created if it is not there. Default: the connection's own. */
  readonly schema?: string;
}

/**
 * Creates idemkit's tables, or brings them up to date, in one transaction. Any number of processes
 * may call it at once, and again at every start: one does the work, and the others find it done. Where
 * there is nothing to do, it needs no right but to read. Tables that were made by other means, such as
 * drizzle-kit, are left to them.
 *
 * @returns the versions that this call applied
 * @throws TypeError where the client or the schema's name is something else
 * @throws Error where the database was migrated by a newer release, or has a table of that name that cannot hold
 *   records, with the differences; the driver's own errors
 */
export async function migrate(
  client: PostgresClient,
  options: MigrateOptions = {},
): Promise<readonly number[]> {
  const [unknown] = Object.keys(options).filter((name) => name !== "schema");
  if (unknown !== undefined) throw new TypeError(`${unknown}: no such option. Expected schema.`);
  checkSchema(options.schema);
  return await databaseOf(client).transaction(
    async (queries) => {
      await queries.run(LOCK, []);
      if (options.schema !== undefined) await createSchema(queries, options.schema);
      const schema = options.schema ?? (await schemaInUse(queries));
      const run = (text: string, ...parameters: string[]) =>
        queries.run(inSchema(text, schema), parameters);
      const refuseOther = async () =>
        refuseOtherTable(recordsIn(schema), await tableProblems(queries, recordsIn(schema)));
      const [hasRecords, hasMigrations] = await tablesIn(queries, schema);
      // A table that was dropped by hand has to be made again, whatever was noted.
      const applied = hasRecords && hasMigrations ? await appliedVersion(queries, schema) : 0;
      if (hasRecords && applied === 0) await refuseOther();
      // Tables that were made by other means are kept up to date by those means.
      if (hasRecords && !hasMigrations) return [];
      if (applied > LATEST_VERSION) {
        throw new Error(
          `This database has idemkit's schema version ${applied}, and this release knows ` +
            `${LATEST_VERSION}: a newer release has migrated it. Update @idemkit/store-postgres.`,
        );
      }
      const missing = migrations.filter(({ version }) => version > applied);
      if (missing.length > 0) await run(MIGRATIONS_TABLE);
      for (const { version, statements } of missing) {
        for (const statement of statements) await run(statement);
        await run(RECORD_APPLIED, String(version));
      }
      await refuseOther();
      return missing.map(({ version }) => version);
    },
    { isolation: "read committed" },
  );
}

/** Looks first: who may not create a schema may still use one that is there. */
async function createSchema(queries: Queries, schema: string): Promise<void> {
  const found = await queries.run(HAS_SCHEMA, [schema]);
  if (found.length === 0) await queries.run(`CREATE SCHEMA "${schema}"`, []);
}

/**
 * Where the tables are already, by the connection's search path. A schema that was put before that one
 * since must not be given tables of its own: every key would be new.
 */
async function schemaInUse(queries: Queries): Promise<string | undefined> {
  const [row] = await queries.run(SCHEMA_IN_USE, []);
  return row?.[0] ?? undefined;
}

/** Whether the table of records is there, and that of migrations. */
async function tablesIn(
  queries: Queries,
  schema: string | undefined,
): Promise<readonly [boolean, boolean]> {
  const names = [recordsIn(schema), inSchema("idemkit_migrations", schema)];
  const [row] = await queries.run(TABLES, names);
  return [row?.[0] === "t", row?.[1] === "t"];
}

/** The schema version of the database; its table of migrations has to be there. */
export async function appliedVersion(queries: Queries, schema?: string): Promise<number> {
  const [row] = await queries.run(inSchema(APPLIED, schema), []);
  return Number(row?.[0]);
}

/** The name of the table, as Postgres looks it up. */
export function recordsIn(schema: string | undefined): string {
  return inSchema("idemkit_records", schema);
}
