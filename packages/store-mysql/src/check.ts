import type { Store } from "@idemkit/engine";
import {
  type CheckOptions,
  type Durability,
  durabilityProblems,
  trialProblem,
} from "@idemkit/engine/model";
import { appliedVersion, LATEST_VERSION, tablesIn } from "./migrate.ts";
import type { Queries, TextRow } from "./queries.ts";

export interface CheckReport {
  /** Missing where the tables were made by other means than `migrate`, or it may not be read. */
  readonly schemaVersion?: number;
  readonly durability: Durability;
  /** Such as `MySQL 9.7.4` or `MariaDB 10.11.19`. */
  readonly serverVersion: string;
  readonly flushLogAtTrxCommit: string;
  /** Missing where the server writes no binary log. */
  readonly syncBinlog?: string;
}

/** They have JSON_TABLE and SKIP LOCKED. */
const VERSIONS_MIN = { MySQL: [8, 0, 19], MariaDB: [10, 6, 0] } as const;
/** Ways to write pages that do not leave them torn; one of MySQL's only finds those that are. */
const REPAIRING = /^(1|on|fast|detect_and_recover)$/i;
/** The largest body, and what is sent along with it. */
const PACKET_BYTES_MIN = 16 * 1024 * 1024;
const READ_ONLY_ERRORS = [1290, 1792, 1836];
const DENIED_ERRORS = [1044, 1045, 1142, 1143];

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

const SERVER = `
  SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@innodb_doublewrite,
    @@SESSION.sql_mode, @@SESSION.autocommit, @@SESSION.max_allowed_packet,
    CONCAT_WS(' ', @@SESSION.character_set_client, @@SESSION.character_set_connection,
      @@SESSION.character_set_results)`;

const OF_TABLE = "WHERE table_schema = DATABASE() AND table_name = 'idemkit_records'";
const ENGINE = `SELECT engine FROM information_schema.tables ${OF_TABLE}`;
const TABLE_COLUMNS = `
  SELECT column_name, column_type, is_nullable,
    CASE WHEN extra LIKE '%GENERATED%' THEN 'generated' ELSE column_default END, character_set_name
  FROM information_schema.columns ${OF_TABLE}
  ORDER BY ordinal_position`;
const TABLE_INDEXES = `
  SELECT index_name, non_unique, GROUP_CONCAT(
    column_name, COALESCE(CONCAT('(', sub_part, ')'), '') ORDER BY seq_in_index)
  FROM information_schema.statistics ${OF_TABLE}
  GROUP BY index_name, non_unique`;
const FORGET = "DELETE FROM idemkit_records WHERE digest = UNHEX(?)";

/** @throws Error that lists what is wrong and what to do */
export async function check(
  queries: Queries,
  store: Store,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const { report, problems } = await checkServer(queries);
  const tables = await tablesIn(queries);
  const schemaVersion = await appliedVersion(queries, tables);
  problems.push(...(await schemaProblems(queries, tables, schemaVersion)));
  if (problems.length === 0) problems.push(...(await trialProblems(queries, store)));
  const advice =
    "set innodb_flush_log_at_trx_commit to 1, innodb_doublewrite to on and, where there is a binary " +
    "log, sync_binlog to 1";
  problems.push(...durabilityProblems(options, report.durability, advice));
  if (problems.length > 0) {
    throw new Error(
      `The ${report.serverVersion} database is not fit for idemkit. ${problems.join(" ")}`,
    );
  }
  return { ...(schemaVersion > 0 && { schemaVersion }), ...report };
}

async function checkServer(queries: Queries) {
  const [row = []] = await queries.read(SERVER);
  const [version = "", flush = "", logBin, syncBinlog = "", doublewrite = ""] = row.map(String);
  const product = /mariadb/i.test(version) ? "MariaDB" : "MySQL";
  const serverVersion = `${product} ${version.split("-")[0]}`;
  const hasBinlog = logBin === "1" || logBin === "ON";
  const isSynced =
    flush === "1" && (!hasBinlog || syncBinlog === "1") && REPAIRING.test(doublewrite);
  const durability: Durability = isSynced ? "power-loss" : "process-kill";
  const report = {
    ...{ durability, serverVersion, flushLogAtTrxCommit: flush },
    ...(hasBinlog && { syncBinlog }),
  };
  const problems = sessionProblems(row.slice(5));
  if (isOlder(version, VERSIONS_MIN[product])) {
    problems.unshift(`${product} ${VERSIONS_MIN[product].join(".")} or later is needed.`);
  }
  return { report, problems };
}

function sessionProblems([sqlMode, autocommit, packetBytes, charsets]: TextRow): string[] {
  const problems: string[] = [];
  if (!/STRICT_(TRANS|ALL)_TABLES/.test(sqlMode ?? "")) {
    problems.push("sql_mode is not strict, so that texts may be cut: add STRICT_TRANS_TABLES.");
  }
  if (autocommit !== "1") {
    problems.push("autocommit is off, so that nothing would be committed: set it to 1.");
  }
  const other = charsets?.split(" ").find((charset) => charset !== "utf8mb4");
  if (other !== undefined) {
    problems.push(
      `The connection's charset is ${other}: results need utf8mb4, or some are spoilt.`,
    );
  }
  if (Number(packetBytes) < PACKET_BYTES_MIN) {
    problems.push(
      `max_allowed_packet is ${packetBytes}: bodies of 4 MiB need ${PACKET_BYTES_MIN} or more.`,
    );
  }
  return problems;
}

function isOlder(version: string, least: readonly number[]): boolean {
  const parts = version.split(/[.-]/).map(Number);
  for (const [index, part] of least.entries()) {
    if (parts[index] !== part) return (parts[index] ?? 0) < part;
  }
  return false;
}

async function schemaProblems(
  queries: Queries,
  tables: readonly string[],
  version: number,
): Promise<readonly string[]> {
  if (version > LATEST_VERSION) {
    return [`Its schema has version ${version}, newer than this release: update the package.`];
  }
  if (!tables.includes("idemkit_records")) {
    return ["Its table idemkit_records is missing: call `await migrate(client)` once."];
  }
  const [engine] = await queries.read(ENGINE);
  const columns = await queries.read(TABLE_COLUMNS);
  const indexes = await queries.read(TABLE_INDEXES);
  const problems: string[] = [];
  if (engine?.[0] !== "InnoDB") {
    problems.push(`idemkit_records is kept by ${engine?.[0]}: ALTER TABLE … ENGINE = InnoDB.`);
  }
  problems.push(...indexProblems(indexes), ...columnProblems(columns));
  return problems;
}

function indexProblems(indexes: readonly TextRow[]): readonly string[] {
  const problems: string[] = [];
  // Without it, nothing would keep two claims of one record apart.
  if (!indexes.some(([name, , columns]) => name === "PRIMARY" && columns === "digest")) {
    problems.push("idemkit_records lacks PRIMARY KEY (digest).");
  }
  if (!indexes.some(([, , columns]) => columns === "expires_at")) {
    problems.push("idemkit_records lacks its index on expires_at: purging would read all of it.");
  }
  for (const [name, isNotUnique] of indexes) {
    if (isNotUnique === "0" && name !== "PRIMARY") {
      problems.push(`idemkit_records has another unique key, ${name}, that claims would meet.`);
    }
  }
  return problems;
}

function columnProblems(columns: readonly TextRow[]): readonly string[] {
  const found = columns.map(([name, type, isNullable]) => {
    // MariaDB still writes the width in which numbers were shown once.
    const plain = String(type).replace(/(int)\(\d+\)/, "$1");
    return `${name} ${plain}${isNullable === "NO" ? " NOT NULL" : ""}`;
  });
  const lacking = COLUMNS.filter((column) => !found.includes(column));
  const problems = lacking.map((column) => `idemkit_records lacks the column ${column}.`);
  const known = COLUMNS.map((column) => column.split(" ")[0]);
  for (const [name, , isNullable, fallback, charset] of columns) {
    const isFilled = isNullable === "YES" || fallback !== null || known.includes(name ?? "");
    if (!isFilled) problems.push(`idemkit_records has a column ${name} that no claim fills.`);
    if (charset != null && charset !== "utf8mb4" && known.includes(name ?? "")) {
      problems.push(
        `The column ${name} of idemkit_records holds ${charset}: it has to be utf8mb4.`,
      );
    }
  }
  return problems;
}

/** What is wrong with a claim on trial. */
async function trialProblems(queries: Queries, store: Store): Promise<readonly string[]> {
  try {
    const problem = await trialProblem(store, (digest) => queries.write(FORGET, [digest]));
    return problem === undefined ? [] : [problem];
  } catch (error) {
    const number = error instanceof Error && "errno" in error ? Number(error.errno) : 0;
    if (READ_ONLY_ERRORS.includes(number)) {
      return ["The server is read-only: connect to the primary."];
    }
    const advice = DENIED_ERRORS.includes(number)
      ? " The user needs SELECT, INSERT, UPDATE and DELETE."
      : "";
    return [`A claim on trial failed: ${(error as Error).message}.${advice}`];
  }
}
