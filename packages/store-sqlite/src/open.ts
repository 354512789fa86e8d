import Database from "better-sqlite3";

const OPENING_TIMEOUT_MS = 5_000;

/**
 * Opens a database file as idemkit needs it: write-ahead log, and `synchronous = FULL`, so that
 * what was acknowledged survives a power cut. SQLite forgets the latter with each handle, and a
 * WAL file is opened at NORMAL again.
 *
 * Do not put the file on a network file system: its locks cannot be trusted.
 *
 * @param path the file, made if it is not there; its folder has to exist
 * @throws TypeError where the path is empty or no string
 * @throws the driver's own error where the file cannot be opened or is no database
 */
export function openSqlite(path: string): Database.Database {
  // Without a path, SQLite would open a database that is gone with its handle.
  if (typeof path !== "string" || path === "") {
    throw new TypeError(
      `path: expected the path of a file, got ${path === "" ? "''" : typeof path}.`,
    );
  }
  const db = new Database(path, { timeout: OPENING_TIMEOUT_MS });
  try {
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
