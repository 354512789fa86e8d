import type { Bug } from "./bug.ts";

const rules = "transition.ts";

/** Faults of a store that lets through what it should fence. */
export const fenceBugs: readonly Bug[] = [
  {
    name: "no-fence",
    where: "store",
    what: "any caller may complete: the outcome is written by key alone (Powertools, node-idempotency)",
    edits: [
      {
        file: rules,
        from: "if (record === undefined || !isOf(record, completion)) return refused(stored);",
        to: "if (record === undefined) return refused(stored);",
      },
    ],
  },
  {
    name: "fence-by-owner-alone",
    where: "store",
    what: "a late write of an earlier claim of the same owner is accepted",
    edits: [
      {
        file: rules,
        from: "return record.owner === owner && record.token === token;",
        to: "return record.owner === owner;",
      },
    ],
  },
  {
    name: "fence-by-status-alone",
    where: "store",
    what: "a completion needs a claimed record, but not its owner",
    edits: [
      {
        file: rules,
        from: "if (record === undefined || !isOf(record, completion)) return refused(stored);",
        to: 'if (record === undefined || (record.status !== "claimed" && !isOf(record, completion))) return refused(stored);',
      },
    ],
  },
  {
    name: "release-without-fence",
    where: "store",
    what: "a late owner gives back the claim of its successor",
    edits: [
      {
        file: rules,
        from: "if (record === undefined || !isOf(record, claim)) return refused(stored);",
        to: "if (record === undefined) return refused(stored);",
      },
    ],
  },
  {
    name: "renew-without-fence",
    where: "store",
    what: "a late owner renews the claim of its successor, and gets no refusal",
    edits: [
      {
        file: rules,
        from: 'if (record?.status !== "claimed" || !isOf(record, renewal)) return refused(stored);',
        to: 'if (record?.status !== "claimed") return refused(stored);',
      },
    ],
  },
  {
    name: "renew-inserts",
    where: "store",
    what: "a renewal is an upsert: it brings back a record that was given back or ended",
    edits: [
      {
        file: rules,
        from: 'if (record?.status !== "claimed" || !isOf(record, renewal)) return refused(stored);',
        to: 'if (record === undefined || !isOf(record, renewal)) return refused(stored);\n    if (record.status !== "claimed") return done({ ...record, ...NO_OUTCOME, status: "claimed", leaseEndsAt: nowMs + renewal.leaseMs });',
      },
    ],
  },
  {
    name: "racy-claim",
    where: "store",
    what: "a claim reads, and writes its decision a little later",
    edits: [
      {
        file: rules,
        from: "const record = unlessExpired(stored, nowMs);\n    if (record === undefined) return claimAbsent(stored, request, nowMs);",
        to: "const isFresh = stored?.owner !== request.owner && (stored?.createdAt ?? 0) > nowMs - 3;\n    const record = isFresh ? undefined : unlessExpired(stored, nowMs);\n    if (record === undefined) return claimAbsent(stored, request, nowMs);",
      },
    ],
  },
  {
    name: "token-restart",
    where: "store",
    what: "tokens are counted per record, and begin again once it was purged",
    edits: [
      {
        file: rules,
        from: "token: Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),",
        to: "token: (previous?.token ?? 0) + 1,",
      },
    ],
  },
  {
    name: "token-of-the-clock",
    where: "store",
    what: "tokens are the clock's time alone, which can stand still or step back",
    edits: [
      {
        file: rules,
        from: "token: Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),",
        to: "token: nowMs * MICROSECONDS_PER_MS,",
      },
    ],
  },
  {
    name: "token-kept",
    where: "store",
    what: "a take-over goes on under the token of its predecessor",
    edits: [
      {
        file: rules,
        from: "token: Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),",
        to: "token: takenOver ? (previous?.token ?? 1) : Math.max((previous?.token ?? 0) + 1, nowMs * MICROSECONDS_PER_MS),",
      },
    ],
  },
];
