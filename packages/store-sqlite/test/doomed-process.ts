import { beZombie, type StoppedAt, workUntilKilled } from "@idemkit/test-servers";
import type Database from "better-sqlite3";
import { openSqlite, sqliteStore } from "../src/index.ts";

// Works in transactions until it is killed; or is stopped in the middle of one.
const store = sqliteStore(openSqlite(process.argv[2] ?? ""));
const write = (tx: Database.Database, label: string) =>
  tx.prepare("INSERT INTO effects (label) VALUES (?)").run(label);
const stoppedAt = process.argv[3];
if (stoppedAt === undefined) await workUntilKilled(store, write);
else await beZombie(stoppedAt as StoppedAt, store, write);
