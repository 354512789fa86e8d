import type { Claimed, RecordId } from "@idemkit/engine";
import type { StoredRecord } from "@idemkit/engine/model";

/** A row of idemkit_records. */
export interface Row {
  readonly digest: Buffer;
  readonly scope: string;
  readonly key: string;
  readonly status: StoredRecord["status"];
  readonly fingerprint: string;
  readonly owner: string;
  readonly token: number;
  readonly attempt: number;
  readonly taken_over: number;
  readonly lease_ends_at: number;
  readonly expires_at: number;
  readonly created_at: number;
  readonly completed_at: number | null;
  readonly checkpoint_revision: number | null;
  readonly checkpoint: string | null;
  readonly note: string | null;
  readonly body: string | null;
}

/** What a claiming statement returns. */
export type ClaimedRow = Pick<
  Row,
  | "digest"
  | "token"
  | "attempt"
  | "taken_over"
  | "created_at"
  | "checkpoint_revision"
  | "checkpoint"
>;

export function digestOf({ digest }: RecordId): Buffer {
  return Buffer.from(digest, "hex");
}

export function recordOf(row: Row): StoredRecord {
  return {
    id: { digest: row.digest.toString("hex"), scope: row.scope, key: row.key },
    status: row.status,
    fingerprint: row.fingerprint,
    owner: row.owner,
    token: row.token,
    attempt: row.attempt,
    takenOver: row.taken_over === 1,
    leaseEndsAt: row.lease_ends_at,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    completedAt: row.completed_at ?? undefined,
    checkpoint: checkpointOf(row),
    body: row.body ?? undefined,
    note: row.note ?? undefined,
  };
}

export function claimedOf(row: ClaimedRow): Claimed {
  const checkpoint = checkpointOf(row);
  return {
    outcome: "claimed",
    token: row.token,
    attempt: row.attempt,
    takenOver: row.taken_over === 1,
    createdAt: row.created_at,
    ...(checkpoint && { checkpoint }),
  };
}

function checkpointOf({ checkpoint, checkpoint_revision: revision }: ClaimedRow) {
  return checkpoint === null || revision === null ? undefined : { revision, value: checkpoint };
}
