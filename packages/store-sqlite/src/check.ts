import type { Store } from "@idemkit/engine";
import {
  type CheckOptions,
  type Durability,
  durabilityProblems,
  trialProblem,
} from "@idemkit/engine/model";
import type { SqliteHandle } from "./handle.ts";
import { appliedVersion, LATEST_VERSION } from "./migrate.ts";
import { hasTable, tableProblems } from "./schema.ts";

export interface CheckReport {
  /** Missing where the tables were made by other means than `migrate`. */
  readonly schemaVersion?: number;
  readonly durability: Durability;
  readonly journalMode: string;
  /** As SQLite counts: 0 OFF, 1 NORMAL, 2 FULL, 3 EXTRA. */
  readonly synchronous: number;
}

const ON_FILE =
  "open the file with openSqlite(path), or set journal_mode = WAL and synchronous = FULL on every " +
  "handle";
const IN_MEMORY = "use a file";

const SYNCHRONOUS_FULL = 2;

const FORGET = "DELETE FROM idemkit_records WHERE digest = ?";

/** @throws Error that lists what is wrong and what to do */
export async function check(
  db: SqliteHandle,
  store: Store,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const schemaVersion = versionOf(db);
  const report = { ...durabilityOf(db), ...(schemaVersion !== undefined && { schemaVersion }) };
  const advice = db.memory ? IN_MEMORY : ON_FILE;
  const problems = [
    ...durabilityProblems(options, report.durability, advice),
    ...schemaProblems(db, schemaVersion),
    ...handleProblems(db, report),
  ];
  if (problems.length === 0) problems.push(...(await trialProblems(db, store)));
  if (problems.length === 0) return report;
  throw new Error(`The SQLite database is not fit for idemkit. ${problems.join(" ")}`);
}

/** What is wrong with a claim on trial. */
async function trialProblems(db: SqliteHandle, store: Store): Promise<readonly string[]> {
  const forget = async (digest: string) => db.prepare(FORGET).run(Buffer.from(digest, "hex"));
  try {
    const problem = await trialProblem(store, forget);
    return problem === undefined ? [] : [problem];
  } catch (error) {
    return [`A claim on trial failed: ${(error as Error).message}.`];
  }
}

function durabilityOf(db: SqliteHandle): Omit<CheckReport, "schemaVersion"> {
  const journalMode = String(db.pragma("journal_mode", { simple: true }));
  const synchronous = Number(db.pragma("synchronous", { simple: true }));
  const isKept = !db.memory && journalMode !== "off" && journalMode !== "memory";
  const kept = synchronous >= SYNCHRONOUS_FULL ? "power-loss" : "process-kill";
  return { durability: isKept ? kept : "none", journalMode, synchronous };
}

function handleProblems(db: SqliteHandle, { journalMode }: CheckReport): readonly string[] {
  const problems: string[] = [];
  if (db.readonly || Number(db.pragma("query_only", { simple: true })) === 1) {
    problems.push("The handle is read-only: open the file for writing.");
  }
  if (!db.memory && journalMode !== "wal") {
    problems.push(
      `Its journal_mode is ${journalMode}, in which readers and writers stop each other: ` +
        "set it to WAL, or open the file with openSqlite(path).",
    );
  }
  return problems;
}

/** Missing where the tables were made by other means than {@link migrate}. */
function versionOf(db: SqliteHandle): number | undefined {
  return hasTable(db, "idemkit_migrations") ? appliedVersion(db) : undefined;
}

function schemaProblems(db: SqliteHandle, version = LATEST_VERSION): readonly string[] {
  if (version < LATEST_VERSION) {
    return [`Its schema has version ${version} of ${LATEST_VERSION}: call \`await migrate(db)\`.`];
  }
  if (version > LATEST_VERSION) {
    return [`Its schema has version ${version}, newer than this release: update the package.`];
  }
  if (!hasTable(db, "idemkit_records")) {
    return ["Its tables are missing: call `await migrate(db)` once."];
  }
  const problems = [...tableProblems(db)];
  const index = "SELECT 1 FROM sqlite_schema WHERE name = 'idemkit_records_expires_at'";
  if (db.prepare(index).get() === undefined) {
    problems.push("idemkit_records lacks its index on expires_at: purging would read all of it.");
  }
  return problems;
}
