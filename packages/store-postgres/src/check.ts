import type { Store } from "@idemkit/engine";
import {
  type CheckOptions,
  type Durability,
  durabilityProblems,
  trialProblem,
} from "@idemkit/engine/model";
import { appliedVersion, LATEST_VERSION, recordsIn } from "./migrate.ts";
import type { Queries } from "./queries.ts";
import { TABLE_INDEXES, tableProblems } from "./schema.ts";
import { inSchema } from "./statements.ts";

export interface CheckReport {
  /** Missing where the tables were made by other means than `migrate`. */
  readonly schemaVersion?: number;
  readonly durability: Durability;
  /** As the server writes it, such as `15.18`. */
  readonly serverVersion: string;
  readonly fsync: string;
  readonly synchronousCommit: string;
}

/** It brought MATERIALIZED. */
const SERVER_VERSION_MIN = 120_000;

const SERVER = `
  SELECT current_setting('server_version'), current_setting('server_version_num'),
    current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('transaction_read_only'),
    pg_is_in_recovery(), current_setting('server_encoding')`;

/** Parameters: the table's name. */
const MAY_READ = "SELECT has_table_privilege(to_regclass($1::text), 'SELECT')";

/** Parameters: the table's name. */
const TABLE = `
  SELECT relpersistence,
    has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
  FROM pg_class WHERE oid = to_regclass($1::text)`;

const FORGET = "DELETE FROM idemkit_records WHERE digest = $1::text::uuid";

/** @throws Error that lists what is wrong and what to do */
export async function check(
  queries: Queries,
  schema: string | undefined,
  store: Store,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const table = recordsIn(schema);
  const [row] = await queries.run(TABLE, [table]);
  const isLogged = row?.[0] !== "u";
  const { report, problems } = await checkServer(queries, isLogged);
  const schemaVersion = await versionOf(queries, schema);
  problems.push(...(await schemaProblems(queries, table, row !== undefined, schemaVersion)));
  if (row?.[1] === "f") {
    problems.push(
      `The user may not read and write ${table}: grant SELECT, INSERT, UPDATE, DELETE.`,
    );
  }
  if (problems.length === 0) problems.push(...(await trialProblems(queries, schema, store)));
  const advice = isLogged
    ? "set fsync, full_page_writes and synchronous_commit to on"
    : `ALTER TABLE ${table} SET LOGGED`;
  problems.push(...durabilityProblems(options, report.durability, advice));
  if (problems.length > 0) {
    throw new Error(`The Postgres database is not fit for idemkit. ${problems.join(" ")}`);
  }
  return { ...report, ...(schemaVersion !== undefined && { schemaVersion }) };
}

/** What is wrong with a claim on trial. */
async function trialProblems(
  queries: Queries,
  schema: string | undefined,
  store: Store,
): Promise<readonly string[]> {
  const forget = inSchema(FORGET, schema);
  try {
    const problem = await trialProblem(store, (digest) => queries.run(forget, [digest]));
    return problem === undefined ? [] : [problem];
  } catch (error) {
    return [`A claim on trial failed: ${(error as Error).message}.`];
  }
}

async function checkServer(queries: Queries, isLogged: boolean) {
  const [row = []] = await queries.run(SERVER, []);
  const [serverVersion, versionNumber, fsync, fullPageWrites, synchronousCommit] = row.map(
    (value) => value ?? "",
  );
  const [isReadOnly, isStandby, encoding] = row.slice(5);
  const problems: string[] = [];
  if (Number(versionNumber) < SERVER_VERSION_MIN) {
    problems.push(`The server is Postgres ${serverVersion}: 12 or later is needed.`);
  }
  if (encoding !== "UTF8") {
    problems.push(
      `The database's encoding is ${encoding}: results need UTF8, or some are refused.`,
    );
  }
  if (isStandby === "t")
    problems.push("The server is a read-only standby: connect to the primary.");
  else if (isReadOnly === "on") {
    problems.push("Transactions are read-only: set default_transaction_read_only to off.");
  }
  const isSynced = fsync === "on" && fullPageWrites === "on" && synchronousCommit !== "off";
  const durability: Durability = isSynced && isLogged ? "power-loss" : "process-kill";
  const report = {
    durability,
    serverVersion: serverVersion?.split(" ")[0] ?? "",
    fsync: fsync ?? "",
    synchronousCommit: synchronousCommit ?? "",
  };
  return { report, problems };
}

/** Missing where the tables were made by other means than {@link migrate}, or it may not be read. */
async function versionOf(
  queries: Queries,
  schema: string | undefined,
): Promise<number | undefined> {
  const table = inSchema("idemkit_migrations", schema);
  const [row] = await queries.run(MAY_READ, [table]);
  return row?.[0] === "t" ? await appliedVersion(queries, schema) : undefined;
}

async function schemaProblems(
  queries: Queries,
  table: string,
  isThere: boolean,
  version = LATEST_VERSION,
): Promise<readonly string[]> {
  if (version > LATEST_VERSION) {
    return [`Its schema has version ${version}, newer than this release: update the package.`];
  }
  if (!isThere) {
    return [
      `Its table ${table} is missing: call \`await migrate(client)\` once, for the same schema.`,
    ];
  }
  if (version < LATEST_VERSION) {
    return [
      `Its schema has version ${version} of ${LATEST_VERSION}: call \`await migrate(client)\`.`,
    ];
  }
  const problems = [...(await tableProblems(queries, table))];
  const indexes = await queries.run(TABLE_INDEXES, [table]);
  if (!indexes.some(([, keys]) => keys === "expires_at")) {
    problems.push(`${table} lacks its index on expires_at: purging would read all of it.`);
  }
  return problems;
}
