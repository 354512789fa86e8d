import { setTimeout as sleep } from "node:timers/promises";
import { InOrder } from "@idemkit/engine/model";
import type { SqliteHandle, SqliteStatement } from "./handle.ts";

const BUSY_WAIT_MS_MAX = 10_000;
/** Shorter, so that the advice reaches the caller before the engine's own patience ends. */
const OCCUPIED_WAIT_MS_MAX = 1_000;
const FIRST_PAUSE_MS = 1;
const PAUSE_MS_MAX = 16;
const PAUSE_GROWTH = 2;

/** How a store's lists come to be transactions. */
export interface Writes {
  write<T>(work: () => T): Promise<T>;
  read<T>(work: () => T): Promise<T>;
}

/** The application itself is using the handle in a way that shuts us out. */
class OccupiedError extends Error {
  override readonly name = "OccupiedError";
}

/** The transactions of one handle. Each runs in one turn of the event loop and is one commit. */
export class Transactions implements Writes {
  readonly #db: SqliteHandle;
  readonly #busyTimeout: SqliteStatement;

  constructor(db: SqliteHandle) {
    this.#db = db;
    this.#busyTimeout = db.prepare("PRAGMA busy_timeout");
  }

  /**
   * Runs `work` in an IMMEDIATE transaction. Another process may hold the write lock: SQLite's own
   * waiting would block the event loop, so it is switched off for the moment, and the waiting is
   * done here, in jittered steps, for ten seconds at most. `work` must not answer a promise.
   *
   * @throws the driver's error, SQLITE_BUSY among them once the time is over
   */
  async write<T>(work: () => T): Promise<T> {
    return await patiently(() =>
      this.#withoutBlocking(() => inTransaction(this.#db, "BEGIN IMMEDIATE", work)),
    );
  }

  /** Runs `work` on one snapshot of the database, without a write lock. */
  async read<T>(work: () => T): Promise<T> {
    return await patiently(() => inTransaction(this.#db, "BEGIN", work));
  }

  #withoutBlocking<T>(work: () => T): T {
    const { timeout } = this.#busyTimeout.get() as { readonly timeout: number | bigint };
    if (Number(timeout) === 0) return work();
    this.#db.exec("PRAGMA busy_timeout = 0");
    try {
      return work();
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${Number(timeout)}`);
    }
  }
}

/** A transaction that somebody else has begun, and will end. */
export class OpenTransaction implements Writes {
  readonly #db: SqliteHandle;
  readonly #order = new InOrder();

  constructor(db: SqliteHandle) {
    this.#db = db;
  }

  async write<T>(work: () => T): Promise<T> {
    return await this.#order.run(async () => {
      if (this.#db.inTransaction) return work();
      throw new Error("bind: the transaction is over, and nothing was written.");
    });
  }

  async read<T>(work: () => T): Promise<T> {
    return await this.write(work);
  }
}

/** Runs `work`, and undoes what it has done where it throws and that is answered with something else. */
export function undoable<T>(db: SqliteHandle, work: () => T, onError: (error: unknown) => T): T {
  db.exec("SAVEPOINT idemkit_work");
  try {
    return work();
  } catch (error) {
    const instead = onError(error);
    db.exec("ROLLBACK TO idemkit_work");
    return instead;
  }
}

/** Tries until it works, or fails for good, or the time is over. */
async function patiently<T>(attempt: () => T): Promise<T> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let waitedMs = 0; ; waitedMs += pauseMs) {
    try {
      return attempt();
    } catch (cause) {
      const error = explained(cause);
      if (waitedMs >= patienceMs(error)) throw error;
    }
    await sleep(pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(pauseMs * PAUSE_GROWTH, PAUSE_MS_MAX);
  }
}

function patienceMs(error: unknown): number {
  if (error instanceof OccupiedError) return OCCUPIED_WAIT_MS_MAX;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && code.startsWith("SQLITE_BUSY") ? BUSY_WAIT_MS_MAX : 0;
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
  throw new OccupiedError(
    "The SQLite handle has an open transaction. Give idemkit a handle of its own, " +
      "or end transactions in the turn of the event loop that began them.",
  );
}

/** better-sqlite3 refuses everything but reading while a statement's rows are being iterated. */
function explained(error: unknown): unknown {
  const isIterating = error instanceof TypeError && /busy executing a query/.test(error.message);
  if (!isIterating) return error;
  return new OccupiedError(
    "The SQLite handle is in the middle of iterating over rows. Give idemkit a handle of its " +
      "own, or read rows with all().",
    { cause: error },
  );
}
