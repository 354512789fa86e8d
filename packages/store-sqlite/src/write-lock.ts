import { setTimeout as sleep } from "node:timers/promises";
import type { SqliteHandle } from "./handle.ts";

const WAIT_MS_MAX = 10_000;
const FIRST_PAUSE_MS = 1;
const PAUSE_MS_MAX = 16;
const PAUSE_GROWTH = 2;

/**
 * Runs `work` in one IMMEDIATE transaction, which is one commit. Another process may hold the write
 * lock: SQLite's own waiting would block the event loop, so it is switched off for the moment, and
 * the waiting is done here, in jittered steps, for ten seconds at most.
 *
 * `work` runs in one turn of the event loop and must not answer a promise.
 *
 * @throws the driver's error, SQLITE_BUSY among them once the time is over
 */
export async function withWriteLock<T>(db: SqliteHandle, work: () => T): Promise<T> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let waitedMs = 0; ; waitedMs += pauseMs) {
    try {
      return withoutBlocking(db, () => inTransaction(db, "BEGIN IMMEDIATE", work));
    } catch (error) {
      if (!isBusy(error) || waitedMs >= WAIT_MS_MAX) throw error;
    }
    await sleep(pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(pauseMs * PAUSE_GROWTH, PAUSE_MS_MAX);
  }
}

/** Runs `work` on one snapshot of the database, without a write lock. */
export function onOneSnapshot<T>(db: SqliteHandle, work: () => T): T {
  return inTransaction(db, "BEGIN", work);
}

function inTransaction<T>(db: SqliteHandle, begin: string, work: () => T): T {
  refuseOpenTransaction(db);
  db.exec(begin);
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } finally {
    // Some failures roll back by themselves.
    if (db.inTransaction) db.exec("ROLLBACK");
  }
}

/** Our commits would otherwise commit, or be undone with, what the user has begun. */
function refuseOpenTransaction(db: SqliteHandle): void {
  if (!db.inTransaction) return;
  throw new Error(
    "The SQLite handle has an open transaction. Give idemkit a handle of its own, " +
      "or end transactions in the turn of the event loop that began them.",
  );
}

function withoutBlocking<T>(db: SqliteHandle, work: () => T): T {
  const timeoutMs = db.pragma("busy_timeout", { simple: true });
  if (timeoutMs === 0) return work();
  db.pragma("busy_timeout = 0");
  try {
    return work();
  } finally {
    db.pragma(`busy_timeout = ${Number(timeoutMs)}`);
  }
}

function isBusy(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && code.startsWith("SQLITE_BUSY");
}
