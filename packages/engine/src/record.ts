import type {
  Checkpoint,
  Claim,
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  RecordId,
  RecordState,
  RecordView,
  Renewal,
  Status,
} from "./store.ts";

/** What is kept of one record. Its state is derived from this and the clock, never stored twice. */
export interface StoredRecord {
  readonly id: RecordId;
  readonly status: Status | "claimed" | "released";
  readonly fingerprint: string;
  /** `undefined` after a removal, so that nobody passes the fence. */
  readonly owner: string | undefined;
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

/** Each operation on one record, with what it is given and what it answers. */
interface Operations {
  readonly claim: { readonly given: ClaimRequest; readonly answer: ClaimOutcome };
  readonly renew: { readonly given: Renewal; readonly answer: boolean };
  readonly complete: { readonly given: Completion; readonly answer: boolean };
  readonly release: { readonly given: Claim; readonly answer: boolean };
  readonly read: { readonly given: RecordId; readonly answer: RecordView | undefined };
  readonly remove: { readonly given: { readonly token: number }; readonly answer: boolean };
  readonly purge: { readonly given: undefined; readonly answer: boolean };
}

export type OperationName = keyof Operations;
export type Given<Name extends OperationName> = Operations[Name]["given"];
export type Answer<Name extends OperationName> = Operations[Name]["answer"];

export interface Step<Name extends OperationName> {
  readonly record: StoredRecord | undefined;
  readonly answer: Answer<Name>;
}

type Rule<Name extends OperationName> = (
  record: StoredRecord | undefined,
  given: Given<Name>,
  nowMs: number,
) => Step<Name>;

/** The signature of {@link transition}, for those who wrap it. */
export type Transition = <Name extends OperationName>(
  record: StoredRecord | undefined,
  name: Name,
  given: Given<Name>,
  nowMs: number,
) => Step<Name>;

const MICROSECONDS_PER_MS = 1000;

/**
 * The record's transitions: from what is stored, one operation and the time to what is stored
 * afterwards and the answer. It is pure, and every store must behave as if it applied it atomically.
 */
export const transition: Transition = (record, name, given, nowMs) => {
  const rule: Rule<typeof name> = rules[name];
  return rule(record, given, nowMs);
};

const rules: { readonly [Name in OperationName]: Rule<Name> } = {
  claim(stored, request, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record === undefined) return grant(stored, request, nowMs, { attempt: 1 });
    switch (record.status) {
      case "claimed":
        return claimUnfinished(record, request, nowMs);
      case "released":
        return claimReleased(record, request, nowMs);
      default:
        return { record, answer: completedOutcome(record, record.status, nowMs) };
    }
  },

  renew(stored, renewal, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record?.status !== "claimed" || record.owner !== renewal.owner) return refused(stored);
    const given = renewal.checkpoint;
    const isNewer =
      given !== undefined &&
      given.revision > (record.checkpoint?.revision ?? Number.NEGATIVE_INFINITY);
    const checkpoint = isNewer ? given : record.checkpoint;
    return done({ ...record, leaseEndsAt: nowMs + renewal.leaseMs, checkpoint });
  },

  complete(stored, completion, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record === undefined || record.owner !== completion.owner) return refused(stored);
    const { status, body, note, retentionMs = 0 } = completion;
    if (record.status !== "claimed" && record.status !== "unknown") {
      const isStored = record.status === status && record.body === body;
      return isStored ? done(record) : refused(stored);
    }
    return done({
      ...record,
      status,
      body,
      note,
      completedAt: nowMs,
      expiresAt: Math.max(record.expiresAt, nowMs + retentionMs),
    });
  },

  release(stored, claim, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record === undefined || record.owner !== claim.owner) return refused(stored);
    if (record.status === "released") return done(record);
    if (record.status !== "claimed" && record.status !== "unknown") return refused(stored);
    return done({ ...record, ...NO_OUTCOME, status: "released", note: record.note });
  },

  read(stored, _id, nowMs) {
    const record = unlessExpired(stored, nowMs);
    return { record: stored, answer: record && viewOf(record, nowMs) };
  },

  remove(stored, { token }, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record?.token !== token) return refused(stored);
    return done({
      ...record,
      ...NO_OUTCOME,
      status: "released",
      owner: undefined,
      checkpoint: undefined,
    });
  },

  purge(stored, _given, nowMs) {
    const isDue = stored !== undefined && unlessExpired(stored, nowMs) === undefined;
    // A token ahead of the clock would come round again if its record were forgotten now.
    const isPassed = isDue && stored.token < nowMs * MICROSECONDS_PER_MS;
    return isPassed ? { record: undefined, answer: true } : refused(stored);
  },
};

const NO_OUTCOME = { body: undefined, note: undefined, completedAt: undefined } as const;

function done(record: StoredRecord) {
  return { record, answer: true };
}

function refused(record: StoredRecord | undefined) {
  return { record, answer: false };
}

/** Work whose outcome is open is never forgotten by time: only the other records expire. */
function unlessExpired(record: StoredRecord | undefined, nowMs: number): StoredRecord | undefined {
  if (record === undefined) return undefined;
  const isOpen = record.status === "claimed" || record.status === "unknown";
  return isOpen || record.expiresAt > nowMs ? record : undefined;
}

function claimUnfinished(
  record: StoredRecord,
  request: ClaimRequest,
  nowMs: number,
): Step<"claim"> {
  if (record.owner === request.owner) {
    const renewed = { ...record, leaseEndsAt: nowMs + request.leaseMs };
    return { record: renewed, answer: claimedOutcome(renewed) };
  }
  if (record.leaseEndsAt > nowMs) {
    return { record, answer: inProgressOutcome(record, record.leaseEndsAt - nowMs) };
  }
  if (!request.takeOver || record.fingerprint !== request.fingerprint) {
    return { record, answer: lapsedOutcome(record) };
  }
  return grant(record, request, nowMs, {
    attempt: record.attempt + 1,
    takenOver: true,
    checkpoint: record.checkpoint,
    createdAt: record.createdAt,
  });
}

function claimReleased(record: StoredRecord, request: ClaimRequest, nowMs: number): Step<"claim"> {
  // A delayed duplicate of a claim that was given back must not revive it.
  const isDelayedDuplicate = record.owner === request.owner;
  const { checkpoint } = record;
  const isOtherWork = checkpoint !== undefined && record.fingerprint !== request.fingerprint;
  if (isDelayedDuplicate || isOtherWork) return { record, answer: inProgressOutcome(record, 0) };
  const attempt = record.attempt + 1;
  return grant(record, request, nowMs, checkpoint ? { attempt, checkpoint } : { attempt });
}

function grant(
  previous: StoredRecord | undefined,
  request: ClaimRequest,
  nowMs: number,
  differing: Partial<StoredRecord> & { readonly attempt: number },
): Step<"claim"> {
  const record: StoredRecord = {
    ...NO_OUTCOME,
    id: previous?.id ?? request.id,
    status: "claimed",
    fingerprint: request.fingerprint,
    owner: request.owner,
    token: Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),
    takenOver: false,
    leaseEndsAt: nowMs + request.leaseMs,
    expiresAt: nowMs + request.retentionMs,
    createdAt: nowMs,
    checkpoint:
      request.checkpoint === undefined ? undefined : { revision: 0, value: request.checkpoint },
    ...differing,
  };
  return { record, answer: claimedOutcome(record) };
}

function claimedOutcome(record: StoredRecord): Claimed {
  const { token, attempt, takenOver, createdAt } = record;
  return { outcome: "claimed", token, attempt, takenOver, createdAt, ...checkpointOf(record) };
}

function inProgressOutcome(record: StoredRecord, leaseRemainingMs: number): ClaimOutcome {
  const { fingerprint, attempt } = record;
  return { outcome: "in-progress", fingerprint, attempt, leaseRemainingMs };
}

function lapsedOutcome(record: StoredRecord): ClaimOutcome {
  const { fingerprint, attempt, token } = record;
  return { outcome: "lapsed", fingerprint, attempt, token, ...checkpointOf(record) };
}

function completedOutcome(record: StoredRecord, status: Status, nowMs: number): ClaimOutcome {
  const { fingerprint, body = "", owner = "", token, attempt, createdAt } = record;
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
    ageMs: nowMs - completedAt,
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
    token,
    attempt,
    createdAt,
    ...checkpointOf(record),
    ...(owner !== undefined && { owner }),
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
