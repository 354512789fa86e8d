import type { StoredRecord } from "@idemkit/engine/model";
import type { TextRow } from "./queries.ts";

/** A record as a statement answered it, with the server's time then. */
export interface Found {
  /** Whether this very statement has granted it. */
  readonly isGranted: boolean;
  readonly nowMs: number;
  readonly record: StoredRecord;
}

/** The record in a row of the statements, whose labels only some of them ask for. */
export function foundIn(row: TextRow): Found {
  const [head, fingerprint, owner, checkpoint, body, note, scope, key] = row;
  const [isGranted, now, uuid = "", status, token, attempt, takenOver, ...times] = (
    head ?? ""
  ).split(" ");
  const [leaseEndsAt, expiresAt, createdAt, completedAt, revision] = times.map(Number);
  return {
    isGranted: isGranted === "t",
    nowMs: Number(now),
    record: {
      id: { digest: hexOf(uuid), scope: scope ?? "", key: key ?? "" },
      status: status as StoredRecord["status"],
      fingerprint: fingerprint ?? "",
      owner: owner ?? "",
      token: Number(token),
      attempt: Number(attempt),
      takenOver: takenOver === "t",
      leaseEndsAt: Number(leaseEndsAt),
      expiresAt: Number(expiresAt),
      createdAt: Number(createdAt),
      completedAt: completedAt === -1 ? undefined : completedAt,
      checkpoint:
        checkpoint == null ? undefined : { revision: Number(revision), value: checkpoint },
      body: body ?? undefined,
      note: note ?? undefined,
    },
  };
}

/** The server writes the sixteen bytes with dashes. */
export function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}
