export type { CheckOptions, Durability } from "@idemkit/engine/model";
export type { CheckReport } from "./check.ts";
export type { PostgresClient, TransactionOf } from "./client.ts";
export type { DrizzleDatabase } from "./drivers/drizzle.ts";
export type { PgConnection, PgPool } from "./drivers/pg.ts";
export type { PostgresJs } from "./drivers/postgres-js.ts";
export { type MigrateOptions, type Migration, migrate, migrations } from "./migrate.ts";
export type { PostgresStoreOptions } from "./options.ts";
export { type PostgresStore, postgresStore } from "./postgres-store.ts";
