import type { StoredRecord } from "@idemkit/engine/model";
import {
  type AnyGiven,
  given,
  HOUR_MS,
  type Mutant,
  NOBODY,
  ofAnyToken,
  type Rules,
  refused,
  ruled,
  seeing,
  sound,
  storing,
  unfenced,
} from "./breaking.ts";

type Test = (record: StoredRecord, given: AnyGiven, nowMs: number) => boolean;

/** Other rules for some records, the sound ones for the rest. */
function where(test: Test, broken: Rules): Rules {
  return (record, name, entry, nowMs) =>
    (record !== undefined && test(record, entry, nowMs) ? broken : sound)(
      record,
      name,
      entry,
      nowMs,
    );
}

const refusing: Rules = (record) => refused(record);
const isLapsed: Test = ({ status, leaseEndsAt }, _, nowMs) =>
  status === "claimed" && leaseEndsAt <= nowMs;
const isOwn: Test = ({ status, owner }, entry) => status === "claimed" && owner === entry.owner;
const isTakeOver: Test = (record, entry, nowMs) =>
  isLapsed(record, entry, nowMs) && record.owner !== entry.owner;
const isReleased: Test = ({ status }) => status === "released";
const isUnknown: Test = ({ status }) => status === "unknown";
const isClaimed: Test = ({ status }) => status === "claimed";
const isPastRetention: Test = ({ expiresAt }, _, nowMs) => expiresAt <= nowMs;
const isOpen: Test = (...all) => isClaimed(...all) || isUnknown(...all);
const both =
  (...tests: readonly Test[]): Test =>
  (...all) =>
    tests.every((test) => test(...all));

/** The first checkpoint of a request, as the rules keep it. */
function checkpointOf(entry: AnyGiven): StoredRecord["checkpoint"] {
  const { checkpoint } = entry as { readonly checkpoint?: unknown };
  return typeof checkpoint === "string" ? { revision: 0, value: checkpoint } : undefined;
}

/** Keeps the checkpoint of the request in the record, if the test allows it. */
const bringing = (test: Test): Rules =>
  where(test, (record, name, entry, nowMs) => {
    const checkpoint = checkpointOf(entry);
    return sound(record && { ...record, checkpoint }, name, entry, nowMs);
  });

const claimMutants: readonly Mutant[] = [
  ruled(
    "drops the checkpoint that a claim after a release brings",
    "claim.first-checkpoint",
    "claim",
    where(isReleased, (record, name, { ...entry }, nowMs) =>
      sound(record, name, { ...entry, checkpoint: undefined } as never, nowMs),
    ),
  ),
  ruled(
    "begins a take-over with its own checkpoint where there is none",
    "claim.first-checkpoint",
    "claim",
    bringing((record, ...rest) => isTakeOver(record, ...rest) && record.checkpoint === undefined),
  ),
  ruled(
    "never shortens a lease when its owner asks again",
    "claim.same-owner",
    "claim",
    where(
      isOwn,
      storing((after, before) => ({
        leaseEndsAt: Math.max(after.leaseEndsAt, before?.leaseEndsAt ?? 0),
      })),
    ),
  ),
  ruled(
    "replaces a checkpoint when its owner asks again",
    "claim.same-owner-alone",
    "claim",
    bringing((record, entry, nowMs) => isOwn(record, entry, nowMs) && !!checkpointOf(entry)),
  ),
  ruled(
    "takes a first checkpoint when its owner asks again",
    "claim.same-owner-alone",
    "claim",
    bringing((record, ...rest) => isOwn(record, ...rest) && record.checkpoint === undefined),
  ),
  ruled(
    "forgets lapsed work that was taken over before",
    "claim.open-stays",
    "claim",
    where(
      both(isClaimed, isPastRetention, ({ takenOver }) => takenOver),
      (_, ...rest) => sound(undefined, ...rest),
    ),
  ),
  ruled(
    "keeps the fingerprint of an expired record",
    "claim.expired",
    "claim",
    where(
      both(isPastRetention, (...all) => !isOpen(...all)),
      storing((_, before) => ({ fingerprint: before?.fingerprint ?? "" })),
    ),
  ),
  ruled(
    "bars the owner of an expired record",
    "claim.expired",
    "claim",
    where(
      both(isPastRetention, ({ owner }, entry) => owner === entry.owner, isReleased),
      (record, name, entry, nowMs) => ({
        ...sound({ ...(record as StoredRecord), expiresAt: nowMs + 1 }, name, entry, nowMs),
        record,
      }),
    ),
  ),
  ruled(
    "moves the end of a lapsed lease when it reports it",
    "claim.lapsed",
    "claim",
    (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      const { outcome } = step.answer as { readonly outcome: string };
      return outcome !== "lapsed" || step.record === undefined
        ? step
        : { ...step, record: { ...step.record, leaseEndsAt: nowMs } };
    },
  ),
  ...(["isLapsed", "isReleased"] as const).map((kind) =>
    ruled(
      `counts no attempt after the second ${kind === "isLapsed" ? "where it takes over" : "after a release"}`,
      "claim.attempts",
      "claim",
      where(kind === "isLapsed" ? isLapsed : isReleased, (record, name, entry, nowMs) => {
        const seen = record && { ...record, attempt: Math.min(record.attempt, 1) };
        const step = sound(seen, name, entry, nowMs);
        return (step.answer as { readonly outcome: string }).outcome === "claimed"
          ? step
          : sound(record, name, entry, nowMs);
      }),
    ),
  ),
  ruled(
    "never shortens a retention",
    "claim.retention",
    "claim",
    storing((after, before) =>
      before?.status === "released" && after.status === "claimed"
        ? { expiresAt: Math.max(after.expiresAt, before.expiresAt) }
        : {},
    ),
  ),
  ruled(
    "counts retention from the first claim at a take-over",
    "claim.retention",
    "claim",
    (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      const { takenOver } = step.answer as { readonly takenOver?: boolean };
      if (takenOver !== true || step.record === undefined || record?.owner === entry.owner)
        return step;
      const expiresAt = step.record.createdAt + entry.retentionMs;
      return { ...step, record: { ...step.record, expiresAt } };
    },
  ),
  ruled(
    "revives a released claim that has a note",
    "claim.released-owner",
    "claim",
    where(
      both(isReleased, ({ note }) => note !== undefined),
      (record, ...rest) => sound(record && { ...record, owner: NOBODY }, ...rest),
    ),
  ),
  ruled(
    "labels a record anew when it is taken over",
    "claim.digest",
    "claim",
    where(isTakeOver, (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      const isTaken = step.record?.owner === entry.owner;
      return {
        ...step,
        record: step.record && isTaken ? { ...step.record, id: entry.id } : record,
      };
    }),
  ),
  ruled(
    "calls a claim taken over because it may be",
    "claim.absent",
    "claim",
    (record, ...rest) => {
      const step = sound(record, ...rest);
      const isNew = record === undefined && rest[1].takeOver;
      if (!isNew || step.record === undefined) return step;
      const taken = { takenOver: true };
      return {
        record: { ...step.record, ...taken },
        answer: { ...(step.answer as object), ...taken },
      };
    },
  ),
  ruled(
    "grants an owner its unknown outcome again",
    "claim.completed-owner",
    "claim",
    where(
      both(isUnknown, ({ owner }, entry) => owner === entry.owner),
      (record, ...rest) => sound(record && { ...record, status: "claimed" }, ...rest),
    ),
  ),
];

/** A renewal, completion, release or removal that changes more than it may. */
const changing = (
  name: string,
  caughtBy: string,
  operation: string,
  change: (after: StoredRecord, before: StoredRecord, nowMs: number) => Partial<StoredRecord>,
): Mutant =>
  ruled(name, caughtBy, operation, (record, asked, entry, nowMs) => {
    const step = sound(record, asked, entry, nowMs);
    const isDone = step.answer === true && record !== undefined && step.record !== undefined;
    if (!isDone) return step;
    return {
      ...step,
      record: {
        ...step.record,
        ...change(step.record as StoredRecord, record, nowMs),
      } as StoredRecord,
    };
  });

const writeMutants: readonly Mutant[] = [
  changing("counts a renewal as an attempt", "renew.keeps", "renew", ({ attempt }) => ({
    attempt: attempt + 1,
  })),
  changing(
    "begins the life of a record anew when it renews",
    "renew.keeps",
    "renew",
    (_, __, nowMs) => ({
      createdAt: nowMs,
    }),
  ),
  changing("forgets the take-over when it renews", "renew.keeps", "renew", () => ({
    takenOver: false,
  })),
  changing("prolongs the retention when it renews", "renew.keeps", "renew", ({ expiresAt }) => ({
    expiresAt: expiresAt + 60_000,
  })),
  ruled(
    "renews nothing past its retention",
    "claim.open-ends",
    "renew",
    where(isPastRetention, refusing),
  ),
  ...(["renew", "complete", "release"] as const).flatMap((operation) => [
    ruled(
      `lets a stranger ${operation} a lapsed claim`,
      `${operation}.fence`,
      operation,
      where(isLapsed, unfenced),
    ),
    ruled(
      `does not compare tokens to ${operation} a lapsed claim`,
      `${operation}.token`,
      operation,
      where(isLapsed, ofAnyToken),
    ),
  ]),
  ruled(
    "lets a stranger decide an unknown outcome",
    "complete.fence",
    "complete",
    where(isUnknown, unfenced),
  ),
  ruled(
    "lets a stranger release an unknown outcome",
    "release.fence",
    "release",
    where(isUnknown, unfenced),
  ),
  ruled(
    "lets operators decide shortly before a lease is over",
    "complete.if-lapsed",
    "complete",
    (record, name, entry, nowMs) =>
      sound(record, name, entry, entry.ifLapsed === true ? nowMs + 15_000 : nowMs),
  ),
  changing(
    "keeps when the unknown was recorded",
    "complete.unknown",
    "complete",
    (after, before) => ({
      completedAt: before.completedAt ?? after.completedAt,
    }),
  ),
  ruled(
    "decides nothing past its retention",
    "claim.open-ends",
    "complete",
    where(both(isUnknown, isPastRetention), refusing),
  ),
  ...[0.89, 0.91].map((share) =>
    ruled(
      `moves expiry where less than ${share} of the retention are left`,
      "complete.nine-tenths",
      "complete",
      where(isOpen, (record, name, entry, nowMs) => {
        const { retentionMs = 0 } = entry;
        const isShort = (record?.expiresAt ?? 0) - nowMs < share * retentionMs;
        const step = sound(record, name, { ...entry, retentionMs: 0 }, nowMs);
        if (step.answer !== true || step.record === undefined || !isShort) return step;
        const expiresAt = Math.max(step.record.expiresAt, nowMs + retentionMs);
        return { ...step, record: { ...step.record, expiresAt } };
      }),
    ),
  ),
  ruled(
    "keeps a late outcome that asks for no retention",
    "complete.late",
    "complete",
    where(
      both(isPastRetention, (_, { retentionMs }) => retentionMs === undefined),
      (record, name, entry, nowMs) =>
        sound(record, name, { ...entry, retentionMs: HOUR_MS }, nowMs),
    ),
  ),
  changing(
    "prolongs the retention when it releases",
    "release.keeps",
    "release",
    (_, before, nowMs) => (before.status === "released" ? {} : { expiresAt: nowMs + 1_000_000 }),
  ),
  changing(
    "gives a released record a minute more",
    "release.keeps",
    "release",
    ({ expiresAt }, before, nowMs) =>
      before.status === "released" ? {} : { expiresAt: Math.max(expiresAt, nowMs + 60_000) },
  ),
  changing(
    "begins the life of a record anew when it releases",
    "release.keeps",
    "release",
    (_, __, nowMs) => ({
      createdAt: nowMs,
    }),
  ),
  changing("drops the fingerprint when it releases", "release.keeps", "release", () => ({
    fingerprint: "",
  })),
  changing(
    "drops the note when it releases again",
    "release.repeat",
    "release",
    (after, before) => ({
      note: before.status === "released" ? undefined : after.note,
    }),
  ),
  changing(
    "drops the checkpoint when it releases again",
    "release.repeat",
    "release",
    (after, before) => ({
      checkpoint: before.status === "released" ? undefined : after.checkpoint,
    }),
  ),
  ...(["release", "remove"] as const).flatMap((operation) => [
    ruled(
      `cannot ${operation} an unknown outcome past its retention`,
      "claim.open-ends",
      operation,
      where(both(isUnknown, isPastRetention), refusing),
    ),
    ruled(
      `cannot ${operation} a lapsed claim past its retention`,
      "claim.open-ends",
      operation,
      where(both(isClaimed, isPastRetention), refusing),
    ),
  ]),
  ruled("removes nothing that has lapsed", "remove.fences", "remove", where(isLapsed, refusing)),
  changing("keeps a removed record for a year", "remove.keeps", "remove", (_, __, nowMs) => ({
    expiresAt: nowMs + 365 * 24 * HOUR_MS,
  })),
  changing(
    "begins the life of a record anew when it removes",
    "remove.keeps",
    "remove",
    (_, __, nowMs) => ({
      createdAt: nowMs,
    }),
  ),
  changing("drops the fingerprint when it removes", "remove.keeps", "remove", () => ({
    fingerprint: "",
  })),
];

const takeOverMutants: readonly Mutant[] = [
  given("takes over as soon as a lease is over", "claim.take-over-after", "claim", () => ({
    takeOverAfterMs: 0,
  })),
  given(
    "waits for a lease's length by default",
    "claim.take-over-at-once",
    "claim",
    ({ takeOverAfterMs, leaseMs }) => ({
      takeOverAfterMs: takeOverAfterMs ?? leaseMs,
    }),
  ),
  given(
    "takes over by waiting alone",
    "claim.take-over-after",
    "claim",
    ({ takeOver, takeOverAfterMs }) => ({
      takeOver: takeOver || takeOverAfterMs !== undefined,
    }),
  ),
  given(
    "counts the wait before a take-over in seconds",
    "claim.take-over-after",
    "claim",
    ({ takeOverAfterMs = 0 }) => ({
      takeOverAfterMs: takeOverAfterMs / 1_000,
    }),
  ),
  given(
    "keeps the wait before a take-over in 32 bits",
    "claim.take-over-after",
    "claim",
    ({ takeOverAfterMs = 0 }) => ({
      takeOverAfterMs: takeOverAfterMs % 2 ** 32,
    }),
  ),
  ruled(
    "waits from the claim and not from the end of its lease",
    "claim.take-over-after",
    "claim",
    where(
      both(isTakeOver, (_, entry) => (entry.takeOverAfterMs ?? 0) > 0),
      (record, name, entry, nowMs) =>
        sound(
          record,
          name,
          {
            ...entry,
            takeOverAfterMs: 0,
            takeOver:
              entry.takeOver && (record?.createdAt ?? 0) + (entry.takeOverAfterMs ?? 0) <= nowMs,
          },
          nowMs,
        ),
    ),
  ),
  ruled(
    "calls a claim in progress until it may be taken over",
    "claim.take-over-after",
    "claim",
    where(isTakeOver, (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      const leaseEndsAt = (record?.leaseEndsAt ?? 0) + (entry.takeOverAfterMs ?? 0);
      return leaseEndsAt > nowMs
        ? { ...sound(record && { ...record, leaseEndsAt }, name, entry, nowMs), record }
        : step;
    }),
  ),
  ruled(
    "takes over for other content once it has waited",
    "claim.take-over-after",
    "claim",
    where(
      both(isTakeOver, (_, entry) => (entry.takeOverAfterMs ?? 0) > 0),
      (record, name, entry, nowMs) =>
        sound(record && { ...record, fingerprint: entry.fingerprint }, name, entry, nowMs),
    ),
  ),
  ruled(
    "waits with the owner's own claim as well",
    "claim.take-over-at-once",
    "claim",
    where(both(isLapsed, isOwn), (record, name, entry, nowMs) =>
      (record?.leaseEndsAt ?? 0) + (entry.takeOverAfterMs ?? 0) > nowMs
        ? sound(record, name, { ...entry, owner: NOBODY }, nowMs)
        : sound(record, name, entry, nowMs),
    ),
  ),
  ruled(
    "waits before it grants a released record",
    "claim.take-over-at-once",
    "claim",
    where(
      both(
        isReleased,
        ({ leaseEndsAt }, entry, nowMs) =>
          leaseEndsAt + (entry.takeOverAfterMs ?? 0) > nowMs && (entry.takeOverAfterMs ?? 0) > 0,
      ),
      (record, name, entry, nowMs) => ({
        ...sound(record, name, { ...entry, owner: record?.owner ?? "" }, nowMs),
        record,
      }),
    ),
  ),
  ruled(
    "measures the wait before a take-over by the client's clock",
    "time.client-clock",
    "claim",
    where(
      both(isTakeOver, (_, entry) => (entry.takeOverAfterMs ?? 0) > 0),
      (record, name, entry, nowMs) =>
        sound(
          record,
          name,
          {
            ...entry,
            takeOverAfterMs: 0,
            takeOver:
              entry.takeOver &&
              (record?.leaseEndsAt ?? 0) + (entry.takeOverAfterMs ?? 0) <= Date.now(),
          },
          nowMs,
        ),
    ),
  ),
];

/** Faults of single kinds of records, for which no clause has a story of its own. */
const kindMutants: readonly Mutant[] = [
  ruled(
    "reports lapsed work as a first attempt although it was taken over",
    "each.claim",
    "claim",
    where(
      both(isLapsed, ({ takenOver }) => takenOver),
      (record, name, entry, nowMs) => {
        const step = sound(record, name, entry, nowMs);
        const { outcome } = step.answer as { readonly outcome: string };
        if (outcome !== "lapsed") return step;
        return { record, answer: { ...(step.answer as object), attempt: 1 } };
      },
    ),
  ),
  ruled(
    "renews nothing that lapsed after a take-over",
    "each.renew",
    "renew",
    where(
      both(isLapsed, ({ takenOver }) => takenOver),
      refusing,
    ),
  ),
  ruled(
    "lets operators overrule a take-over",
    "each.complete",
    "complete",
    where(
      both(isClaimed, ({ takenOver }) => takenOver),
      (record, name, entry, nowMs) => sound(record, name, { ...entry, ifLapsed: false }, nowMs),
    ),
  ),
  ruled(
    "keeps lapsed work that has a checkpoint from being released",
    "each.release",
    "release",
    where(
      both(isLapsed, ({ checkpoint }) => checkpoint !== undefined),
      refusing,
    ),
  ),
  ruled(
    "removes nothing that was released with a note",
    "each.remove",
    "remove",
    where(
      both(isReleased, ({ note }) => note !== undefined),
      refusing,
    ),
  ),
];

export const lifeMutants: readonly Mutant[] = [
  ...claimMutants,
  ...writeMutants,
  ...takeOverMutants,
  ...kindMutants,
  ruled(
    "waits a minute longer than asked before a take-over",
    "claim.take-over-after",
    "claim",
    seeing((record, entry, nowMs) =>
      isTakeOver(record, entry, nowMs) && (entry.takeOverAfterMs ?? 0) > 0
        ? { leaseEndsAt: record.leaseEndsAt + 60_000 }
        : {},
    ),
  ),
];
