export type { CheckOptions, Durability } from "@idemkit/engine/model";
export type { CheckReport } from "./check.ts";
export type {
  DrizzleDatabase,
  MysqlCallbackPool,
  MysqlClient,
  MysqlConnection,
  MysqlPool,
  TransactionOf,
} from "./client.ts";
export { type Migration, migrate, migrations } from "./migrate.ts";
export { type MysqlStore, mysqlStore } from "./mysql-store.ts";
