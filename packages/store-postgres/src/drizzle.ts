import { bigint, boolean, index, integer, pgTable, text, uuid } from "drizzle-orm/pg-core";

const epochMs = (name: string) => bigint(name, { mode: "number" });

/**
 * idemkit's records as a drizzle table, for schemas that drizzle-kit manages and for reading them
 * next to an application's own tables. Only the store writes to it. Times are epoch milliseconds on
 * the server's clock.
 *
 * `drizzle-kit push` drops idemkit's tables unless the schema exports this one, or `tablesFilter: ["!idemkit_*"]`
 * leaves them out. Without the filter it drops `idemkit_migrations` in any case.
 */
export const idemkitRecords = pgTable(
  "idemkit_records",
  {
    digest: uuid("digest").notNull().primaryKey(),
    scope: text("scope").notNull(),
    key: text("key").notNull(),
    status: text("status", {
      enum: ["claimed", "succeeded", "failed", "unknown", "released"],
    }).notNull(),
    fingerprint: text("fingerprint").notNull(),
    owner: text("owner").notNull(),
    token: bigint("token", { mode: "number" }).notNull(),
    attempt: integer("attempt").notNull(),
    takenOver: boolean("taken_over").notNull(),
    leaseEndsAt: epochMs("lease_ends_at").notNull(),
    expiresAt: epochMs("expires_at").notNull(),
    createdAt: epochMs("created_at").notNull(),
    completedAt: epochMs("completed_at"),
    checkpointRevision: bigint("checkpoint_revision", { mode: "number" }),
    checkpoint: text("checkpoint"),
    note: text("note"),
    body: text("body"),
  },
  (table) => [index("idemkit_records_expires_at").on(table.expiresAt)],
);
