import {
  claimedOutcome,
  completedOutcome,
  inProgressOutcome,
  lapsedOutcome,
  type StoredRecord,
  viewOf,
} from "./record.ts";
import type {
  Checkpoint,
  Claim,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  RecordId,
  RecordView,
  Renewal,
} from "./store.ts";

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
    if (record === undefined) return claimAbsent(stored, request, nowMs);
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
    if (record?.status !== "claimed" || !isOf(record, renewal)) return refused(stored);
    const given = renewal.checkpoint;
    const isNewer =
      given !== undefined &&
      given.revision > (record.checkpoint?.revision ?? Number.NEGATIVE_INFINITY);
    const checkpoint = isNewer ? given : record.checkpoint;
    const { leaseMs } = renewal;
    const leaseEndsAt = leaseMs === undefined ? record.leaseEndsAt : nowMs + leaseMs;
    return done({ ...record, leaseEndsAt, checkpoint });
  },

  complete(stored, completion, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record === undefined || !isOf(record, completion)) return refused(stored);
    const { status, body, note, retentionMs = 0 } = completion;
    if (record.status !== "claimed" && record.status !== "unknown") {
      const isStored = record.status === status && record.body === body;
      return isStored ? done(record) : refused(stored);
    }
    const isRunning = record.status === "claimed" && record.leaseEndsAt > nowMs;
    if (completion.ifLapsed && isRunning) return refused(stored);
    const isShort = (record.expiresAt - nowMs) * 10 < retentionMs * 9;
    return done({
      ...record,
      status,
      body,
      note,
      completedAt: nowMs,
      expiresAt: isShort ? Math.max(record.expiresAt, nowMs + retentionMs) : record.expiresAt,
    });
  },

  release(stored, claim, nowMs) {
    const record = unlessExpired(stored, nowMs);
    if (record === undefined || !isOf(record, claim)) return refused(stored);
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
    return done({ ...record, ...NO_OUTCOME, status: "released", checkpoint: undefined });
  },

  purge(stored, _given, nowMs) {
    const isDue = stored !== undefined && unlessExpired(stored, nowMs) === undefined;
    // A token ahead of the clock would come round again if its record were forgotten now.
    const isPassed = isDue && stored.token < nowMs * MICROSECONDS_PER_MS;
    return isPassed ? { record: undefined, answer: true } : refused(stored);
  },
};

const NO_OUTCOME = { body: undefined, note: undefined, completedAt: undefined } as const;

/** The fence of every write. */
function isOf(record: StoredRecord, { owner, token }: Claim): boolean {
  return record.owner === owner && record.token === token;
}

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

function claimAbsent(
  expired: StoredRecord | undefined,
  request: ClaimRequest,
  nowMs: number,
): Step<"claim"> {
  const checkpoint = firstCheckpoint(request);
  const beginning = { attempt: 1, takenOver: false, checkpoint, createdAt: nowMs };
  return grant(expired, request, nowMs, beginning);
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
  if (!mayTakeOver(record, request, nowMs) || record.fingerprint !== request.fingerprint) {
    return { record, answer: lapsedOutcome(record) };
  }
  return grant(record, request, nowMs, {
    attempt: record.attempt + 1,
    takenOver: true,
    checkpoint: record.checkpoint,
    createdAt: record.createdAt,
  });
}

function mayTakeOver(
  { leaseEndsAt }: StoredRecord,
  { takeOver, takeOverAfterMs = 0 }: ClaimRequest,
  nowMs: number,
): boolean {
  return takeOver && leaseEndsAt + takeOverAfterMs <= nowMs;
}

function claimReleased(record: StoredRecord, request: ClaimRequest, nowMs: number): Step<"claim"> {
  // A delayed duplicate of a claim that was given back must not revive it.
  const isDelayedDuplicate = record.owner === request.owner;
  const { checkpoint } = record;
  const isOtherWork = checkpoint !== undefined && record.fingerprint !== request.fingerprint;
  if (isDelayedDuplicate || isOtherWork) return { record, answer: inProgressOutcome(record, 0) };
  return grant(record, request, nowMs, {
    attempt: record.attempt + 1,
    takenOver: false,
    checkpoint: checkpoint ?? firstCheckpoint(request),
    createdAt: nowMs,
  });
}

/** What a new claim begins with, depending on what was there. */
interface Beginning {
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly checkpoint: Checkpoint | undefined;
  readonly createdAt: number;
}

function grant(
  previous: StoredRecord | undefined,
  request: ClaimRequest,
  nowMs: number,
  { attempt, takenOver, checkpoint, createdAt }: Beginning,
): Step<"claim"> {
  const record: StoredRecord = {
    id: previous?.id ?? request.id,
    status: "claimed",
    fingerprint: request.fingerprint,
    owner: request.owner,
    token: Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),
    attempt,
    takenOver,
    leaseEndsAt: nowMs + request.leaseMs,
    expiresAt: nowMs + request.retentionMs,
    createdAt,
    completedAt: undefined,
    checkpoint,
    body: undefined,
    note: undefined,
  };
  return { record, answer: claimedOutcome(record) };
}

function firstCheckpoint({ checkpoint }: ClaimRequest): Checkpoint | undefined {
  return checkpoint === undefined ? undefined : { revision: 0, value: checkpoint };
}
