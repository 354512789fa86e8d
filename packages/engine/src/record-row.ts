import type { StoredRecord } from "./record.ts";

/** A record as a statement answered it, with the server's time then. */
export interface FoundRecord {
  readonly nowMs: number;
  /** Whether this very statement has granted it. */
  readonly isGranted: boolean;
  readonly record: StoredRecord;
}

/**
 * Reads a record from the row of an SQL store: in the first column what has no foreign text in it,
 * separated by blanks, and then the texts. One column is a good deal faster to send and to take apart
 * than twelve.
 *
 * @param row head, fingerprint, owner, checkpoint, body and, where they were asked for, note, scope, key.
 *   The head has the time, the digest, status, token, attempt, whether it was taken over, the end of the
 *   lease, the expiry, when it was created, when completed and the checkpoint's revision (-1 for none),
 *   and whether the statement has granted it
 */
export function recordInRow(row: readonly (string | null)[]): FoundRecord {
  const [head, fingerprint, owner, checkpoint, body, note, scope, key] = row;
  const [now, digest = "", status, token, attempt, takenOver, ...others] = (head ?? "").split(" ");
  const [leaseEndsAt, expiresAt, createdAt, completedAt, revision, granted] = others;
  return {
    nowMs: Number(now),
    isGranted: isTrue(granted),
    record: {
      id: { digest: digest.replaceAll("-", ""), scope: scope ?? "", key: key ?? "" },
      status: status as StoredRecord["status"],
      fingerprint: fingerprint ?? "",
      owner: owner ?? "",
      token: Number(token),
      attempt: Number(attempt),
      takenOver: isTrue(takenOver),
      leaseEndsAt: Number(leaseEndsAt),
      expiresAt: Number(expiresAt),
      createdAt: Number(createdAt),
      completedAt: completedAt === "-1" ? undefined : Number(completedAt),
      checkpoint:
        checkpoint == null ? undefined : { revision: Number(revision), value: checkpoint },
      body: body ?? undefined,
      note: note ?? undefined,
    },
  };
}

/** Postgres writes truth as a letter, MySQL as a number. */
function isTrue(text: string | undefined): boolean {
  return text === "t" || text === "1";
}
