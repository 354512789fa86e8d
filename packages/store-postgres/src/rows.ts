import type { StoredRecord } from "@idemkit/engine/model";
import type { TextRow } from "./queries.ts";
import { COLUMNS } from "./sql.ts";

/** A record as a statement answered it, with the server's time then. */
export interface Found {
  /** Whether this very statement has granted it. */
  readonly isGranted: boolean;
  readonly nowMs: number;
  readonly record: StoredRecord;
}

type Column = (typeof COLUMNS)[number];

/** Where each column stands in a row: after whether it was granted, and the time. */
const POSITIONS = Object.fromEntries(
  COLUMNS.map((column, index) => [column, index + 2]),
) as Readonly<Record<Column, number>>;

export function foundIn(row: TextRow): Found {
  const text = (column: Column) => row[POSITIONS[column]] ?? undefined;
  const some = (column: Column) => text(column) ?? "";
  const number = (column: Column) => Number(text(column));
  const numberIf = (column: Column) => (text(column) === undefined ? undefined : number(column));
  const checkpoint = text("checkpoint");
  return {
    isGranted: row[0] === "t",
    nowMs: Number(row[1]),
    record: {
      id: { digest: hexOf(some("digest")), scope: some("scope"), key: some("key") },
      status: some("status") as StoredRecord["status"],
      fingerprint: some("fingerprint"),
      owner: some("owner"),
      token: number("token"),
      attempt: number("attempt"),
      takenOver: text("taken_over") === "t",
      leaseEndsAt: number("lease_ends_at"),
      expiresAt: number("expires_at"),
      createdAt: number("created_at"),
      completedAt: numberIf("completed_at"),
      checkpoint:
        checkpoint === undefined
          ? undefined
          : { revision: number("checkpoint_revision"), value: checkpoint },
      body: text("body"),
      note: text("note"),
    },
  };
}

/** The server writes the sixteen bytes with dashes. */
export function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}
