import type { Bug } from "./bug.ts";

const rules = "transition.ts";

/** Faults of a store about the life of a record: expiry, take-overs, outcomes, checkpoints. */
export const recordBugs: readonly Bug[] = [
  {
    name: "purge-unfinished",
    where: "store",
    what: "a purge goes by age alone, and deletes records whose outcome is open",
    edits: [
      {
        file: rules,
        from: "const isDue = stored !== undefined && unlessExpired(stored, nowMs) === undefined;",
        to: "const isDue = stored !== undefined && stored.expiresAt <= nowMs;",
      },
    ],
  },
  {
    name: "purge-early",
    where: "store",
    what: "a purge takes outcomes that are still to be replayed",
    edits: [
      {
        file: rules,
        from: "const isDue = stored !== undefined && unlessExpired(stored, nowMs) === undefined;",
        to: "const isDue = stored !== undefined && unlessExpired(stored, nowMs + 1_000) === undefined;",
      },
    ],
  },
  {
    name: "purge-without-limit",
    where: "store",
    what: "a purge removes all that is due at once",
    edits: [{ file: "model-store.ts", from: "if (purged === limit) break;", to: "" }],
  },
  {
    name: "unfinished-expires",
    where: "store",
    what: "work in progress is forgotten by time (node-idempotency: one expiry for both)",
    edits: [
      {
        file: rules,
        from: "return isOpen || record.expiresAt > nowMs ? record : undefined;",
        to: "return record.expiresAt > nowMs ? record : undefined;",
      },
    ],
  },
  {
    name: "unknown-expires",
    where: "store",
    what: "an unknown outcome expires before an operator has settled it",
    edits: [
      {
        file: rules,
        from: 'const isOpen = record.status === "claimed" || record.status === "unknown";',
        to: 'const isOpen = record.status === "claimed";',
      },
    ],
  },
  {
    name: "retention-from-the-claim",
    where: "store",
    what: "how long an outcome lives counts from the claim, however long the run took",
    edits: [
      {
        file: rules,
        from: "expiresAt: isShort ? Math.max(record.expiresAt, nowMs + retentionMs) : record.expiresAt,",
        to: "expiresAt: record.expiresAt,",
      },
    ],
  },
  {
    name: "early-take-over",
    where: "store",
    what: "a claim is taken over before its lease is over",
    edits: [
      {
        file: rules,
        from: "if (record.leaseEndsAt > nowMs) {",
        to: "if (record.leaseEndsAt > nowMs + request.leaseMs / 2) {",
      },
      {
        file: rules,
        from: "return takeOver && leaseEndsAt + takeOverAfterMs <= nowMs;",
        to: "return takeOver && leaseEndsAt + takeOverAfterMs <= Number.POSITIVE_INFINITY;",
      },
    ],
  },
  {
    name: "unrenewed-counts-as-orphaned",
    where: "store",
    what: "a claim that was never renewed is taken for an orphan's (Powertools, issue 5678)",
    edits: [
      {
        file: rules,
        from: "if (record.leaseEndsAt > nowMs) {",
        to: "const isRenewed = record.leaseEndsAt !== record.createdAt + request.leaseMs;\n  if (record.leaseEndsAt > nowMs && isRenewed) {",
      },
      {
        file: rules,
        from: "return takeOver && leaseEndsAt + takeOverAfterMs <= nowMs;",
        to: "return takeOver && leaseEndsAt + takeOverAfterMs <= Number.POSITIVE_INFINITY;",
      },
    ],
  },
  {
    name: "client-clock",
    where: "store",
    what: "leases are judged by the caller's clock (as Powertools does)",
    edits: [
      {
        file: "server.ts",
        from: "const storeMs = this.nowMs;\n    const ask",
        to: "const storeMs = this.nowMs;\n    const skewMs = from.charCodeAt(1) % 2 === 0 ? 60 : 0;\n    this.#steppedMs += skewMs;\n    queueMicrotask(() => queueMicrotask(() => { this.#steppedMs -= skewMs; }));\n    const ask",
      },
    ],
  },
  {
    name: "take-over-with-other-content",
    where: "store",
    what: "a lapsed claim is taken over by a request with another fingerprint",
    edits: [
      {
        file: rules,
        from: "if (!mayTakeOver(record, request, nowMs) || record.fingerprint !== request.fingerprint) {",
        to: "if (!mayTakeOver(record, request, nowMs)) {",
      },
    ],
  },
  {
    name: "take-over-without-leave",
    where: "store",
    what: "a lapsed claim is taken over without permission (a lock that just expires)",
    edits: [
      {
        file: rules,
        from: "if (!mayTakeOver(record, request, nowMs) || record.fingerprint !== request.fingerprint) {",
        to: "if (record.fingerprint !== request.fingerprint) {",
      },
    ],
  },
  {
    name: "own-claim-refused",
    where: "store",
    what: "an owner that retries after a lost response is refused because of its own claim",
    edits: [
      {
        file: rules,
        from: "if (record.owner === request.owner) {\n    const renewed",
        to: "if (record.owner === request.owner && record.leaseEndsAt < 0) {\n    const renewed",
      },
    ],
  },
  {
    name: "revives-the-completed",
    where: "store",
    what: "a delayed claim of the owner is granted on top of its own outcome",
    edits: [
      {
        file: rules,
        from: "default:\n        return { record, answer: completedOutcome(record, record.status, nowMs) };",
        to: "default:\n        if (record.owner === request.owner) return claimAbsent(record, request, nowMs);\n        return { record, answer: completedOutcome(record, record.status, nowMs) };",
      },
    ],
  },
  {
    name: "revives-the-released",
    where: "store",
    what: "a delayed claim of the owner is granted after its own release",
    edits: [
      {
        file: rules,
        from: "const isDelayedDuplicate = record.owner === request.owner;",
        to: "const isDelayedDuplicate = false;",
      },
    ],
  },
  {
    name: "removal-forgets-the-owner",
    where: "store",
    what: "a removed record keeps no owner, and a delayed claim of its owner revives it",
    edits: [
      {
        file: rules,
        from: 'return done({ ...record, ...NO_OUTCOME, status: "released", checkpoint: undefined });',
        to: 'return done({ ...record, ...NO_OUTCOME, status: "released", owner: "", checkpoint: undefined });',
      },
    ],
  },
  {
    name: "late-owner-told-true",
    where: "store",
    what: "after a settlement the store reports to a late owner that its own outcome was recorded",
    edits: [
      {
        file: rules,
        from: "return isStored ? done(record) : refused(stored);",
        to: "return done(record);",
      },
    ],
  },
  {
    name: "last-outcome-wins",
    where: "store",
    what: "a second completion overwrites the first",
    edits: [
      {
        file: rules,
        from: "return isStored ? done(record) : refused(stored);",
        to: "return isStored ? done(record) : done({ ...record, status, body });",
      },
    ],
  },
  {
    name: "repeated-completion-refused",
    where: "store",
    what: "a completion that is repeated after a lost response is refused",
    edits: [
      {
        file: rules,
        from: "return isStored ? done(record) : refused(stored);",
        to: "return refused(stored);",
      },
    ],
  },
  {
    name: "checkpoint-goes-back",
    where: "store",
    what: "a checkpoint that was overtaken on its way replaces the newer one",
    edits: [
      {
        file: rules,
        from: "given.revision > (record.checkpoint?.revision ?? Number.NEGATIVE_INFINITY);",
        to: "given.revision !== record.checkpoint?.revision;",
      },
    ],
  },
  {
    name: "checkpoint-lost",
    where: "store",
    what: "a take-over begins without the progress that was kept",
    edits: [
      {
        file: rules,
        from: "takenOver: true,\n    checkpoint: record.checkpoint,",
        to: "takenOver: true,\n    checkpoint: undefined,",
      },
    ],
  },
  {
    name: "body-cut",
    where: "store",
    what: "a body that is too long for its column is cut without a word",
    edits: [
      {
        file: rules,
        from: "      body,\n      note,",
        to: "      body: body.slice(0, 60),\n      note,",
      },
    ],
  },
];
