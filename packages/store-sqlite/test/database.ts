import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Database from "better-sqlite3";
import { onTestFinished } from "vitest";
import { migrate, openSqlite } from "../src/index.ts";

/** Where to leave what has to be undone: `onTestFinished`, or `afterAll` for a whole group. */
export type CleanUp = (undo: () => void) => void;

/** A path in a folder that goes with its user. */
export function temporaryPath(cleanUp: CleanUp = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-sqlite-"));
  cleanUp(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "records.db");
}

/** A handle that is closed with its user. */
export function opened(path: string, cleanUp: CleanUp = onTestFinished): Database.Database {
  const db = openSqlite(path);
  cleanUp(() => {
    db.close();
  });
  return db;
}

/** A handle on a new database with idemkit's tables. */
export async function migrated(cleanUp: CleanUp = onTestFinished) {
  const path = temporaryPath(cleanUp);
  const db = opened(path, cleanUp);
  await migrate(db);
  return { db, path };
}
