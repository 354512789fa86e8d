import { blob, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * idemkit's records as a drizzle table, for schemas that drizzle-kit manages and for reading them
 * next to an application's own tables. Only the store writes to it.
 *
 * `drizzle-kit push` drops idemkit's tables unless the schema exports this one, or `tablesFilter: ["!idemkit_*"]`
 * leaves them out. Without the filter it drops `idemkit_migrations` in any case, and makes this table anew.
 */
export const idemkitRecords = sqliteTable(
  "idemkit_records",
  {
    digest: blob("digest", { mode: "buffer" }).notNull().primaryKey(),
    scope: text("scope").notNull(),
    key: text("key").notNull(),
    status: text("status", {
      enum: ["claimed", "succeeded", "failed", "unknown", "released"],
    }).notNull(),
    fingerprint: text("fingerprint").notNull(),
    owner: text("owner").notNull(),
    token: integer("token").notNull(),
    attempt: integer("attempt").notNull(),
    takenOver: integer("taken_over", { mode: "boolean" }).notNull(),
    leaseEndsAt: integer("lease_ends_at", { mode: "timestamp_ms" }).notNull(),
    expiresAt: integer("expires_at", { mode: "timestamp_ms" }).notNull(),
    createdAt: integer("created_at", { mode: "timestamp_ms" }).notNull(),
    completedAt: integer("completed_at", { mode: "timestamp_ms" }),
    checkpointRevision: integer("checkpoint_revision"),
    checkpoint: text("checkpoint"),
    note: text("note"),
    body: text("body"),
  },
  (table) => [index("idemkit_records_expires_at").on(table.expiresAt)],
);
