import type { Store } from "@idemkit/engine";
import {
  type CheckOptions,
  type Durability,
  durabilityProblems,
  trialProblem,
} from "@idemkit/engine/model";
import { appliedVersion, LATEST_VERSION, tablesIn } from "./migrate.ts";
import type { Queries, TextRow } from "./queries.ts";
import { OF_TABLE, TABLE_INDEXES, tableProblems } from "./schema.ts";

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

const SERVER = `
  SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@innodb_doublewrite,
    @@SESSION.sql_mode, @@SESSION.autocommit, @@SESSION.max_allowed_packet,
    CONCAT_WS(' ', @@SESSION.character_set_client, @@SESSION.character_set_connection,
      @@SESSION.character_set_results)`;

const ENGINE = `SELECT engine FROM information_schema.tables ${OF_TABLE}`;
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
  const indexes = await queries.read(TABLE_INDEXES);
  const problems: string[] = [];
  if (engine?.[0] !== "InnoDB") {
    problems.push(`idemkit_records is kept by ${engine?.[0]}: ALTER TABLE … ENGINE = InnoDB.`);
  }
  problems.push(...(await tableProblems(queries)), ...indexProblems(indexes));
  return problems;
}

function indexProblems(indexes: readonly TextRow[]): readonly string[] {
  const problems: string[] = [];
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
