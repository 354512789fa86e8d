import type {
  Checkpoint,
  Claimed,
  ClaimOutcome,
  RecordId,
  RecordState,
  RecordView,
  Status,
} from "./store.ts";

/** What is kept of one record. Its state is derived from this and the clock, never stored twice. */
export interface StoredRecord {
  readonly id: RecordId;
  readonly status: Status | "claimed" | "released";
  readonly fingerprint: string;
  /** Who claimed it last. It stays after a release, so that a delayed claim of theirs is known. */
  readonly owner: string;
  readonly token: number;
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly leaseEndsAt: number;
  readonly expiresAt: number;
  readonly createdAt: number;
  readonly completedAt: number | undefined;
  readonly checkpoint: Checkpoint | undefined;
  readonly body: string | undefined;
  readonly note: string | undefined;
}

export function claimedOutcome(record: StoredRecord): Claimed {
  const { token, attempt, takenOver, createdAt, checkpoint } = record;
  const claimed: Claimed = { outcome: "claimed", token, attempt, takenOver, createdAt };
  return checkpoint === undefined ? claimed : { ...claimed, checkpoint };
}

export function inProgressOutcome(record: StoredRecord, leaseRemainingMs: number): ClaimOutcome {
  const { fingerprint, attempt } = record;
  return { outcome: "in-progress", fingerprint, attempt, leaseRemainingMs };
}

export function lapsedOutcome(record: StoredRecord): ClaimOutcome {
  const { fingerprint, attempt, token } = record;
  return { outcome: "lapsed", fingerprint, attempt, token, ...checkpointOf(record) };
}

export function completedOutcome(
  record: StoredRecord,
  status: Status,
  nowMs: number,
): ClaimOutcome {
  const { fingerprint, body = "", owner, token, attempt, createdAt, expiresAt } = record;
  const completedAt = record.completedAt ?? nowMs;
  return {
    outcome: "completed",
    status,
    fingerprint,
    body,
    owner,
    token,
    attempt,
    createdAt,
    completedAt,
    expiresAt,
    // A clock may have been read, or stepped, before the completion.
    ageMs: Math.max(0, nowMs - completedAt),
  };
}

/** Spreads to nothing where there is no checkpoint, as optional members are left out, not unset. */
function checkpointOf({ checkpoint }: StoredRecord) {
  return checkpoint === undefined ? {} : { checkpoint };
}

/** The record as {@link Store.read} and {@link Store.list} show it. */
export function viewOf(record: StoredRecord, nowMs: number): RecordView {
  const { id, fingerprint, token, attempt, createdAt, owner, body, note, completedAt } = record;
  const state = stateOf(record, nowMs);
  const isUnfinished = record.status === "claimed";
  const expires = state === "completed" || state === "released";
  return {
    id,
    state,
    fingerprint,
    owner,
    token,
    attempt,
    createdAt,
    ...checkpointOf(record),
    ...(isUnfinished && { leaseRemainingMs: record.leaseEndsAt - nowMs }),
    ...(record.status !== "claimed" && record.status !== "released" && { status: record.status }),
    ...(body !== undefined && { body }),
    ...(note !== undefined && { note }),
    ...(completedAt !== undefined && { completedAt }),
    ...(expires && { expiresAt: record.expiresAt }),
  };
}

function stateOf(record: StoredRecord, nowMs: number): RecordState {
  switch (record.status) {
    case "claimed":
      return record.leaseEndsAt > nowMs ? "in-progress" : "lapsed";
    case "succeeded":
    case "failed":
      return "completed";
    default:
      return record.status;
  }
}
