import {
  bigint,
  customType,
  index,
  int,
  longtext,
  mysqlTable,
  tinyint,
  varchar,
} from "drizzle-orm/mysql-core";

const epochMs = (name: string) => bigint(name, { mode: "number" });

const binary = customType<{ data: Buffer; config: { readonly length: number } }>({
  dataType: (config) => `binary(${config?.length})`,
});
const varbinary = customType<{ data: Buffer; config: { readonly length: number } }>({
  dataType: (config) => `varbinary(${config?.length})`,
});

/**
 * idemkit's records as a drizzle table, for schemas that drizzle-kit manages and for reading them
 * next to an application's own tables. Only the store writes to it. Times are epoch milliseconds on
 * the server's clock. The table has to be InnoDB with utf8mb4.
 *
 * `drizzle-kit push` drops idemkit's tables unless the schema exports this one, or `tablesFilter: ["!idemkit_*"]`
 * leaves them out. Without the filter it drops `idemkit_migrations` in any case.
 */
export const idemkitRecords = mysqlTable(
  "idemkit_records",
  {
    digest: binary("digest", { length: 16 }).notNull().primaryKey(),
    scope: varchar("scope", { length: 1024 }).notNull(),
    key: varchar("key", { length: 255 }).notNull(),
    status: varchar("status", {
      length: 16,
      enum: ["claimed", "succeeded", "failed", "unknown", "released"],
    }).notNull(),
    fingerprint: varchar("fingerprint", { length: 255 }).notNull(),
    owner: varbinary("owner", { length: 255 }).notNull(),
    token: bigint("token", { mode: "number" }).notNull(),
    attempt: int("attempt").notNull(),
    takenOver: tinyint("taken_over").notNull(),
    leaseEndsAt: epochMs("lease_ends_at").notNull(),
    expiresAt: epochMs("expires_at").notNull(),
    createdAt: epochMs("created_at").notNull(),
    completedAt: epochMs("completed_at"),
    checkpointRevision: bigint("checkpoint_revision", { mode: "number" }),
    checkpoint: longtext("checkpoint"),
    note: longtext("note"),
    body: longtext("body"),
  },
  (table) => [index("idemkit_records_expires_at").on(table.expiresAt)],
);
