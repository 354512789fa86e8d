export type { CheckOptions, Durability } from "@idemkit/engine/model";
export type { CheckReport } from "./check.ts";
export type { SqliteClient, SqliteHandle, SqliteStatement } from "./handle.ts";
export { type Migration, migrate, migrations } from "./migrate.ts";
export { openSqlite } from "./open.ts";
export { type SqliteStore, sqliteStore } from "./sqlite-store.ts";
