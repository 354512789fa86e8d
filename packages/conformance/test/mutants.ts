import type { RecordView } from "@idemkit/engine";
import {
  type AnyGiven,
  given,
  HOUR_MS,
  harnessOf,
  isDone,
  type Mutant,
  NOBODY,
  ofAnyToken,
  refused,
  ruled,
  seeing,
  sound,
  storeNow,
  storing,
  told,
  unfenced,
  wrapped,
} from "./breaking.ts";

const claimMutants: readonly Mutant[] = [
  wrapped("claims by reading, then writing", "race.absent", (store) => ({
    async claim(requests) {
      const views = await store.read(requests.map(({ id }) => id));
      await new Promise((resolve) => setImmediate(resolve));
      const answers = await store.claim(requests);
      return answers.map((answer, index) =>
        views[index] === undefined && answer.outcome === "in-progress"
          ? { outcome: "claimed", token: 1, attempt: 1, takenOver: false, createdAt: Date.now() }
          : answer,
      );
    },
  })),
  wrapped("compares labels instead of digests", "claim.digest", (store) => {
    const relabel = <T extends { id: RecordView["id"] }>(entry: T): T => ({
      ...entry,
      id: { ...entry.id, digest: entry.id.key.toLowerCase() },
    });
    return { claim: (requests) => store.claim(requests.map(relabel)) };
  }),
  ruled("does not know its owner again", "claim.same-owner", "claim", (record, name, given, now) =>
    sound(record, name, { ...given, owner: `${given.owner}${Math.random()}` }, now),
  ),
  ruled("gives its owner a new token each time", "claim.same-owner", "claim", (record, ...rest) => {
    const step = sound(record, ...rest);
    if (record?.status !== "claimed" || record.owner !== rest[1].owner) return step;
    const token = record.token + 1;
    return { record: { ...record, token }, answer: { ...(step.answer as object), token } };
  }),
  ruled("takes over although told not to", "claim.lapsed", "claim", (record, name, given, now) =>
    sound(record, name, { ...given, takeOver: true }, now),
  ),
  ruled("takes over for other content", "claim.lapsed", "claim", (record, name, given, now) =>
    sound(record && { ...record, fingerprint: given.fingerprint }, name, given, now),
  ),
  ruled(
    "takes over before the lease is over",
    "claim.lease-holds",
    "claim",
    seeing(({ leaseEndsAt }) => ({ leaseEndsAt: leaseEndsAt - 15_000 })),
  ),
  ruled(
    "keeps the token at a take-over",
    "claim.take-over",
    "claim",
    (record, name, given, nowMs) => {
      const step = sound(record, name, given, nowMs);
      if (!record || !step.record?.takenOver) return step;
      const { token } = record;
      return { record: { ...step.record, token }, answer: { ...(step.answer as object), token } };
    },
  ),
  ruled("drops the checkpoint at a take-over", "claim.take-over", "claim", (record, ...rest) => {
    const isLapsed = record?.status === "claimed" && record.owner !== rest[1].owner;
    return sound(isLapsed ? { ...record, checkpoint: undefined } : record, ...rest);
  }),
  ruled(
    "makes a taken-over record a new one",
    "claim.take-over",
    "claim",
    seeing((_record, _given, createdAt) => ({ createdAt })),
  ),
  ruled(
    "forgets unfinished work when its time is over",
    "claim.open-stays",
    "claim",
    (record, name, given, nowMs) =>
      sound(record && record.expiresAt <= nowMs ? undefined : record, name, given, nowMs),
  ),
  ruled(
    "lets an unknown outcome expire",
    "claim.unknown",
    "claim",
    (record, name, given, nowMs) => {
      const isOld = record?.status === "unknown" && record.expiresAt <= nowMs;
      return sound(isOld ? undefined : record, name, given, nowMs);
    },
  ),
  ruled(
    "revives a released claim for its own duplicate",
    "claim.released-owner",
    "claim",
    (record, ...rest) =>
      sound(record?.status === "released" ? { ...record, owner: NOBODY } : record, ...rest),
  ),
  ruled(
    "hands a checkpoint to other content",
    "claim.released-checkpoint",
    "claim",
    (record, name, given, nowMs) => {
      const isReleased = record?.status === "released";
      const { fingerprint } = given;
      return sound(isReleased ? { ...record, fingerprint } : record, name, given, nowMs);
    },
  ),
  ruled("counts attempts anew after a release", "claim.released", "claim", (record, ...rest) =>
    sound(record?.status === "released" ? { ...record, attempt: 0 } : record, ...rest),
  ),
  ruled(
    "replays what has expired",
    "claim.expired",
    "claim",
    seeing((record) => (isDone(record) ? { expiresAt: Number.MAX_SAFE_INTEGER } : {})),
  ),
  ruled("restarts tokens when a record expires", "claim.expired", "claim", (record, ...rest) => {
    const nowMs = rest[2];
    const isExpired =
      record !== undefined && record.expiresAt <= nowMs && record.status !== "claimed";
    const step = sound(isExpired ? undefined : record, ...rest);
    if (record !== undefined && !isExpired) return step;
    const token = 1;
    return {
      record: step.record && { ...step.record, token },
      answer: { ...(step.answer as object), token },
    };
  }),
  ruled(
    "prolongs an outcome whenever it is asked for",
    "claim.replay-writes-nothing",
    "claim",
    storing((after, before) =>
      isDone(before) && isDone(after) ? { expiresAt: after.expiresAt + HOUR_MS } : {},
    ),
  ),
  ruled("renews a lapsed lease by asking", "claim.lapsed", "claim", (record, ...rest) => {
    const step = sound(record, ...rest);
    const isLapsed = (step.answer as { outcome?: string }).outcome === "lapsed";
    if (!isLapsed || step.record === undefined) return step;
    return { ...step, record: { ...step.record, leaseEndsAt: rest[2] + 60_000 } };
  }),
  ruled("hides an outcome from other content", "claim.completed", "claim", (record, ...rest) => {
    const isOther = record !== undefined && record.fingerprint !== rest[1].fingerprint;
    return sound(isOther && isDone(record) ? undefined : record, ...rest);
  }),
  ruled("tells the age from the claim", "time.age", "claim", (record, name, given, nowMs) => {
    const step = sound(record, name, given, nowMs);
    const answer = step.answer as { outcome: string; createdAt: number };
    if (answer.outcome !== "completed") return step;
    return { ...step, answer: { ...answer, ageMs: nowMs - answer.createdAt } };
  }),
  wrapped("cuts labels at 64 characters", "claim.labels", (store) => ({
    claim: (requests) =>
      store.claim(
        requests.map((request) => ({
          ...request,
          id: { ...request.id, key: request.id.key.slice(0, 64) },
        })),
      ),
  })),
];

const writeMutants: readonly Mutant[] = [
  ruled("completes for anybody", "complete.fence", "complete", unfenced),
  ruled("renews for anybody", "renew.fence", "renew", unfenced),
  ruled("releases for anybody", "release.fence", "release", unfenced),
  ruled("makes a record by renewing", "renew.fence", "renew", (record, name, given, nowMs) =>
    record === undefined
      ? told(sound(record, "claim", given, nowMs).record)
      : sound(record, name, given, nowMs),
  ),
  ruled("renews what has ended", "renew.ended", "renew", (record, ...rest) =>
    isDone(record) ? told(record) : sound(record, ...rest),
  ),
  ruled("refuses to renew once lapsed", "renew.lapsed", "renew", (record, ...rest) =>
    record !== undefined && record.leaseEndsAt <= rest[2]
      ? refused(record)
      : sound(record, ...rest),
  ),
  ruled(
    "takes a renewal for 0 ms for one without a length",
    "renew.zero",
    "renew",
    (record, ...rest) =>
      sound(record, rest[0], { ...rest[1], leaseMs: rest[1].leaseMs || 60_000 }, rest[2]),
  ),
  ruled(
    "takes a renewal without leaseMs for one of 0 ms",
    "renew.keeps-lease",
    "renew",
    (record, ...rest) =>
      sound(record, rest[0], { ...rest[1], leaseMs: rest[1].leaseMs ?? 0 }, rest[2]),
  ),
  ruled(
    "adds to the lease instead of moving its end",
    "renew.owner",
    "renew",
    (record, ...rest) => {
      const leaseMs = (rest[1].leaseMs ?? 0) + Math.max(0, (record?.leaseEndsAt ?? 0) - rest[2]);
      return sound(record, rest[0], { ...rest[1], leaseMs }, rest[2]);
    },
  ),
  ruled(
    "lets a checkpoint go back",
    "renew.checkpoint",
    "renew",
    seeing(({ checkpoint }) =>
      checkpoint ? { checkpoint: { ...checkpoint, revision: Number.NEGATIVE_INFINITY } } : {},
    ),
  ),
  ruled(
    "loses the checkpoint at a plain renewal",
    "renew.checkpoint",
    "renew",
    (record, ...rest) => {
      const isPlain = !("checkpoint" in rest[1]);
      return sound(record && isPlain ? { ...record, checkpoint: undefined } : record, ...rest);
    },
  ),
  ruled("lets the last outcome win", "complete.first-wins", "complete", (record, ...rest) =>
    sound(isDone(record) && record ? { ...record, status: "claimed" } : record, ...rest),
  ),
  ruled("tells a second writer true", "complete.first-wins", "complete", (record, ...rest) =>
    isDone(record) && record?.owner === rest[1].owner ? told(record) : sound(record, ...rest),
  ),
  ruled(
    "tells a late owner true for the same outcome",
    "complete.repeat-fence",
    "complete",
    (record, ...rest) =>
      isDone(record) && record?.body === rest[1].body ? told(record) : sound(record, ...rest),
  ),
  ruled("refuses an outcome said twice", "complete.repeat", "complete", (record, ...rest) =>
    isDone(record) ? refused(record) : sound(record, ...rest),
  ),
  ruled("keeps an unknown outcome for ever", "complete.unknown", "complete", (record, ...rest) =>
    record?.status === "unknown" ? refused(record) : sound(record, ...rest),
  ),
  ruled("completes what was released", "complete.released", "complete", (record, ...rest) =>
    sound(record?.status === "released" ? { ...record, status: "claimed" } : record, ...rest),
  ),
  ruled("refuses to complete once lapsed", "complete.lapsed", "complete", (record, ...rest) =>
    record?.status === "claimed" && record.leaseEndsAt <= rest[2]
      ? refused(record)
      : sound(record, ...rest),
  ),
  ruled(
    "counts retention from the completion",
    "complete.retention",
    "complete",
    (record, name, given, nowMs) =>
      sound(
        record && { ...record, expiresAt: 0 },
        name,
        { ...given, retentionMs: 1_000_000 },
        nowMs,
      ),
  ),
  ruled(
    "lets a late outcome expire at once",
    "complete.late",
    "complete",
    storing((_after, before) => ({ expiresAt: before?.expiresAt ?? 0 })),
  ),
  ruled(
    "cuts bodies at 64 KiB",
    "complete.bodies",
    "complete",
    storing(({ body }) => ({ body: body?.slice(0, 65_536) })),
  ),
  ruled(
    "takes an empty body for none",
    "complete.bodies",
    "complete",
    storing(({ body }) => ({ body: body || "null" })),
  ),
  ruled(
    "trims bodies",
    "complete.bodies",
    "complete",
    storing(({ body }) => ({ body: body?.trimEnd() })),
  ),
  ruled(
    "normalises bodies",
    "complete.bodies",
    "complete",
    storing(({ body }) => ({ body: body?.normalize() })),
  ),
  ruled(
    "loses notes",
    "complete.unknown",
    "complete",
    storing(() => ({ note: undefined })),
  ),
  ruled("renews by the owner alone", "renew.token", "renew", ofAnyToken),
  ruled(
    "overrules a lease that runs",
    "complete.if-lapsed",
    "complete",
    (record, name, given, nowMs) => sound(record, name, { ...given, ifLapsed: false }, nowMs),
  ),
  ruled(
    "refuses operators what is unknown",
    "complete.if-lapsed",
    "complete",
    (record, name, given, nowMs) =>
      given.ifLapsed === true && record?.status === "unknown"
        ? refused(record)
        : sound(record, name, given, nowMs),
  ),
  ruled("decides the unknown by the owner alone", "complete.token", "complete", (record, ...rest) =>
    (record?.status === "unknown" ? ofAnyToken : sound)(record, ...rest),
  ),
  ruled("releases the unknown by the owner alone", "release.token", "release", (record, ...rest) =>
    (record?.status === "unknown" ? ofAnyToken : sound)(record, ...rest),
  ),
  ruled(
    "bars a removed owner with its own content only",
    "remove.owner",
    "claim",
    (record, name, given, nowMs) =>
      sound(
        record?.status === "released" && record.fingerprint !== given.fingerprint
          ? { ...record, owner: NOBODY }
          : record,
        name,
        given,
        nowMs,
      ),
  ),
  ruled("completes by the owner alone", "complete.token", "complete", ofAnyToken),
  ruled("releases by the owner alone", "release.token", "release", ofAnyToken),
  ruled("releases what has an outcome", "release.fence", "release", (record, ...rest) =>
    sound(isDone(record) && record ? { ...record, status: "claimed" } : record, ...rest),
  ),
  ruled("refuses a release said twice", "release.repeat", "release", (record, ...rest) =>
    record?.status === "released" ? refused(record) : sound(record, ...rest),
  ),
  ruled(
    "releases without keeping the owner",
    "release.claimable",
    "release",
    storing(() => ({ owner: NOBODY })),
  ),
  ruled(
    "keeps an unknown outcome at its release",
    "release.unknown",
    "release",
    (record, ...rest) => {
      const step = sound(record, ...rest);
      return { ...step, record: step.record && { ...step.record, body: record?.body } };
    },
  ),
  ruled("removes whatever the token", "remove.token", "remove", (record, name, _given, nowMs) =>
    sound(record, name, { token: record?.token } as unknown as AnyGiven, nowMs),
  ),
  ruled(
    "forgets the owner of a removed record",
    "remove.owner",
    "remove",
    storing(() => ({ owner: NOBODY })),
  ),
  ruled(
    "leaves the claim of a removed record",
    "remove.fences",
    "remove",
    storing((_after, before) => ({ status: before?.status ?? "claimed" })),
  ),
];

const valueMutants: readonly Mutant[] = [
  given(
    "keeps nothing longer than 24 days",
    "values.durations",
    "claim",
    ({ retentionMs = 0 }) => ({
      retentionMs: Math.min(retentionMs, 2 ** 31 - 1),
    }),
  ),
  given("counts retention in 32 bits", "values.durations", "claim", ({ retentionMs = 0 }) => ({
    retentionMs: retentionMs % 2 ** 32,
  })),
  given("grants no lease above five minutes", "values.durations", "claim", ({ leaseMs }) => ({
    leaseMs: Math.min(leaseMs, 300_000),
  })),
  given("cuts notes at 255", "values.texts", "complete", ({ note }) =>
    note === undefined ? {} : { note: note.slice(0, 255) },
  ),
  given("takes an empty note for none", "values.texts", "complete", ({ note }) =>
    note === "" ? { note: undefined as never } : {},
  ),
  given("trims first checkpoints", "values.texts", "claim", (entry) => {
    const { checkpoint } = entry as { checkpoint?: string };
    return checkpoint === undefined ? {} : { checkpoint: checkpoint.trim() };
  }),
  given(
    "compares fingerprints without case",
    "values.fingerprints",
    "claim",
    ({ fingerprint }) => ({
      fingerprint: fingerprint.toLowerCase(),
    }),
  ),
  given(
    "compares fingerprints without blanks",
    "values.fingerprints",
    "claim",
    ({ fingerprint }) => ({
      fingerprint: fingerprint.trim(),
    }),
  ),
  ruled("compares owners by half", "values.owners", "complete", (record, name, entry, nowMs) => {
    const isAlike = record?.owner?.slice(0, 16) === entry.owner.slice(0, 16);
    return sound(record, name, isAlike ? { ...entry, owner: record?.owner ?? "" } : entry, nowMs);
  }),
  ruled("issues tokens in milliseconds", "values.tokens", "claim", (record, ...rest) => {
    const step = sound(record, ...rest);
    const answer = step.answer as { readonly token?: number };
    return { ...step, answer: { ...answer, token: Math.floor((answer.token ?? 0) / 1_000) } };
  }),
  ruled(
    "prolongs the retention when its owner asks again",
    "claim.same-owner-alone",
    "claim",
    (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      if (record?.owner !== entry.owner || step.record === undefined) return step;
      return { ...step, record: { ...step.record, expiresAt: nowMs + (entry.retentionMs ?? 0) } };
    },
  ),
  ruled(
    "keeps the old expiry after a release",
    "claim.begins-anew",
    "claim",
    storing((_after, before) =>
      before?.status === "released" ? { expiresAt: before.expiresAt } : {},
    ),
  ),
  ruled(
    "keeps the note of an older life",
    "claim.begins-anew",
    "claim",
    storing((after, before) => ({ note: before?.note ?? after.note })),
  ),
  ruled(
    "keeps the first note for ever",
    "complete.unknown-again",
    "complete",
    (record, ...rest) => {
      const step = sound(record, ...rest);
      const note = record?.note ?? step.record?.note;
      return { ...step, record: step.record && { ...step.record, note } };
    },
  ),
  ruled(
    "drops the checkpoint at completion",
    "complete.unknown-again",
    "complete",
    storing(() => ({ checkpoint: undefined })),
  ),
  ruled("refuses to remove a failure", "remove.exact", "remove", (record, ...rest) =>
    record?.status === "failed" ? refused(record) : sound(record, ...rest),
  ),
  ruled("removes by a greater token", "remove.exact", "remove", (record, name, entry, nowMs) => {
    const { token } = entry as unknown as { token: number };
    const asked = record !== undefined && token > record.token ? record.token : token;
    return sound(record, name, { token: asked } as unknown as AnyGiven, nowMs);
  }),
  ruled(
    "moves the expiry at every completion",
    "complete.nine-tenths",
    "complete",
    (record, name, entry, nowMs) => {
      const step = sound(record, name, entry, nowMs);
      const expiresAt = nowMs + (entry.retentionMs ?? 0);
      return { ...step, record: step.record && { ...step.record, expiresAt } };
    },
  ),
  wrapped("lists records without their notes", "list.views", (store) => ({
    list: async (query) => {
      const { records, ...page } = await store.list(query);
      return { ...page, records: records.map(({ note: _note, ...view }) => view) };
    },
  })),
  wrapped("renews 100 at most", "lists.256-each", (store) => ({
    renew: async (renewals) => {
      const answers = await store.renew(renewals.slice(0, 100));
      return renewals.map((_, index) => answers[index] ?? true);
    },
  })),
  wrapped("refuses all where it refuses one", "lists.256-each", (store) => ({
    complete: async (completions) => {
      const answers = await store.complete(completions);
      return answers.map((_, __, all) => all.every((answer) => answer));
    },
  })),
];

const listMutants: readonly Mutant[] = [
  wrapped("answers in another order", "lists.mixed", (store) => ({
    claim: async (requests) => [...(await store.claim(requests))].reverse(),
  })),
  wrapped("leaves out what it does not find", "lists.mixed", (store) => ({
    read: async (ids) => {
      const views = await store.read(ids);
      return ids.length === 1 ? views : views.filter((view) => view !== undefined);
    },
  })),
  wrapped("takes 100 entries of a list at most", "lists.256", (store) => ({
    claim: (requests) => store.claim(requests.slice(0, 100)),
  })),
  wrapped("fails on an empty list", "lists.empty", (store) => ({
    complete: async (completions) => {
      if (completions.length === 0) throw new Error("syntax error near VALUES ()");
      return store.complete(completions);
    },
  })),
  wrapped("shows a lapsed claim as in progress", "list.states", (store) => ({
    list: async (query) => (query.state === "lapsed" ? { records: [] } : store.list(query)),
  })),
  wrapped("repeats a record on the next page", "list.pages", (store) => ({
    list: async ({ after, ...query }) => {
      const page = await store.list({ ...query, ...(after && { after }) });
      const { records, next } = page;
      return next === undefined ? page : { records, next: records.at(-2)?.id.digest ?? next };
    },
  })),
  wrapped("loses a record between pages", "list.pages", (store) => ({
    list: async (query) => {
      const { records, next } = await store.list(query);
      return next === undefined ? { records } : { records: records.slice(0, -1), next };
    },
  })),
  wrapped("purges more than it was allowed", "purge.expired", (store) => ({
    purge: (limit) => store.purge(limit + 100),
  })),
  ruled("purges before the time", "purge.not-due", "purge", (record, name, given, nowMs) =>
    sound(record, name, given, nowMs + 20_000),
  ),
  ruled("purges unfinished work", "purge.not-due", "purge", (record, ...rest) =>
    record !== undefined && record.expiresAt <= rest[2] ? told(undefined) : sound(record, ...rest),
  ),
  ruled("never purges failures", "purge.expired", "purge", (record, ...rest) =>
    record?.status === "failed" ? refused(record) : sound(record, ...rest),
  ),
  ruled(
    "purges a record whose token is ahead of the clock",
    "token.purge",
    "purge",
    seeing(() => ({ token: 1 })),
  ),
  ruled(
    "forgets expiry when reading",
    "read.changes-nothing",
    "read",
    seeing(() => ({ expiresAt: Number.MAX_SAFE_INTEGER })),
  ),
];

const skewed: Mutant = {
  name: "uses its caller's clock, an hour ahead",
  caughtBy: "time.of-the-store",
  harness: () => harnessOf({ clock: (index) => storeNow() + index * HOUR_MS }),
};

export const mutants: readonly Mutant[] = [
  ...claimMutants,
  ...writeMutants,
  ...valueMutants,
  ...listMutants,
  skewed,
];
