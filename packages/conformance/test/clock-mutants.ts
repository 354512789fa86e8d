import {
  HOUR_MS,
  harnessOf,
  isDone,
  type Mutant,
  type Rules,
  ruled,
  sound,
  storeNow,
  storing,
  wrapped,
} from "./breaking.ts";

/** How far the client's clock, which clauses set wrong, is ahead of the store's. */
const aheadMs = () => Date.now() - storeNow();

/** A mutant whose rules take the time from the client, for all uses of an operation or for some. */
function byClientsClock(
  operation: string,
  concerns: (given: Parameters<Rules>[2], record: Parameters<Rules>[0]) => boolean = () => true,
  how = "",
): Mutant {
  return ruled(
    `takes the client's clock to ${operation}${how}`,
    "time.client-clock",
    operation,
    (record, name, given, nowMs) =>
      sound(record, name, given, nowMs + (concerns(given, record) ? aheadMs() : 0)),
  );
}

const clientMutants: readonly Mutant[] = [
  {
    name: "takes everything from the client's clock",
    caughtBy: "time.client-clock",
    harness: () => harnessOf({ clock: () => Date.now() }),
  },
  {
    name: "takes everything from the client's clock, made a Date",
    caughtBy: "time.client-clock",
    harness: () => harnessOf({ clock: () => Date.parse(new Date().toISOString()) }),
  },
  ...["claim", "renew", "complete", "release", "read", "remove", "purge"].map((operation) =>
    byClientsClock(operation),
  ),
  byClientsClock("complete", (given) => given.ifLapsed === true, " for an operator"),
  byClientsClock("claim", (_, record) => record !== undefined, " a record that is there"),
  byClientsClock("claim", (_, record) => isDone(record), " a record with an outcome"),
  byClientsClock("claim", (_, record) => record?.status === "released", " a released record"),
  byClientsClock(
    "claim",
    (given, record) => record?.status === "claimed" && given.takeOver,
    " by a take-over",
  ),
  wrapped("takes the client's clock to list", "time.client-clock", (store, records) => ({
    list: async (query) => {
      const { records: found, ...page } = await store.list(query);
      const shown = found.map((view) => ({
        ...view,
        leaseRemainingMs: (records.get(view.id.digest)?.leaseEndsAt ?? 0) - Date.now(),
      }));
      return { ...page, records: query.state === "unknown" ? found : shown };
    },
  })),
  wrapped("issues tokens by the client's clock", "time.client-clock", (store, records) => ({
    claim: async (requests) => {
      const answers = await store.claim(requests);
      return answers.map((answer, index) => {
        const digest = requests[index]?.id.digest ?? "";
        const record = records.get(digest);
        if (answer.outcome !== "claimed" || record === undefined || answer.attempt > 1)
          return answer;
        const token = answer.token + aheadMs() * 1_000;
        records.set(digest, { ...record, token });
        return { ...answer, token };
      });
    },
  })),
];

/** A store whose tokens come from another clock through the second handle. */
const slowTokens = (slowMs: number, caughtBy: string): Mutant =>
  wrapped(
    `issues tokens ${slowMs} ms late through one handle`,
    caughtBy,
    (store, records, index) => ({
      claim: async (requests) => {
        const before = requests.map(({ id }) => records.get(id.digest));
        const answers = await store.claim(requests);
        return answers.map((answer, at) => {
          const digest = requests[at]?.id.digest ?? "";
          const record = records.get(digest);
          const isNew = record !== undefined && before[at]?.token !== record.token;
          if (answer.outcome !== "claimed" || index === 0 || !isNew) return answer;
          const token = Math.max((before[at]?.token ?? 0) + 1, (storeNow() - slowMs) * 1_000);
          records.set(digest, { ...record, token });
          return { ...answer, token };
        });
      },
    }),
  );

/** Keeps a revision as something smaller keeps it. */
function revisions(name: string, keep: (revision: number) => number): Mutant {
  return ruled(
    `keeps revisions ${name}`,
    "values.revisions",
    "renew",
    (record, asked, given, nowMs) => {
      const { checkpoint } = given as {
        readonly checkpoint?: { readonly revision: number; readonly value: string };
      };
      if (checkpoint === undefined) return sound(record, asked, given, nowMs);
      const kept = { ...checkpoint, revision: keep(checkpoint.revision) };
      return sound(record, asked, { ...given, checkpoint: kept } as never, nowMs);
    },
  );
}

/** Keeps a completion's retention as something smaller keeps it. */
function retentions(name: string, keep: (retentionMs: number) => number, isList = false): Mutant {
  return wrapped(`keeps outcomes ${name}`, "values.completion-retention", (store) => ({
    complete: (completions) =>
      store.complete(
        completions.map((completion) => {
          const { retentionMs } = completion;
          const isKept = retentionMs === undefined || (isList && completions.length === 1);
          return isKept ? completion : { ...completion, retentionMs: keep(retentionMs) };
        }),
      ),
  }));
}

const numberMutants: readonly Mutant[] = [
  revisions("in 32 bits", (revision) => revision % 2 ** 32),
  revisions("in 31 bits and a sign", (revision) => revision | 0),
  revisions("no higher than 32 bits", (revision) => Math.min(revision, 2 ** 32 - 1)),
  revisions("with 14 digits", (revision) => Number(revision.toPrecision(14))),
  revisions("in single precision", (revision) => Math.fround(revision)),
  retentions("for their retention in 32 bits", (retentionMs) => retentionMs % 2 ** 32),
  retentions("no longer than 24 days", (retentionMs) => Math.min(retentionMs, 2 ** 31 - 1)),
  retentions(
    "of lists no longer than 49 days",
    (retentionMs) => Math.min(retentionMs, 2 ** 32 - 1),
    true,
  ),
];

const turn = () => new Promise((resolve) => setImmediate(resolve));

const purgeMutants: readonly Mutant[] = [
  wrapped("purges by reading, then deleting", "race.purge", (store, records) => ({
    purge: async (limit) => {
      const nowMs = storeNow();
      const due = [...records]
        .filter(([, record]) => sound(record, "purge", undefined as never, nowMs).answer === true)
        .slice(0, limit);
      await turn();
      for (const [digest] of due) records.delete(digest);
      return due.length || (await store.purge(0));
    },
  })),
  ruled("never purges", "purge.expired", "purge", (record) => ({ record, answer: false })),
  wrapped("does not count the records it purges", "purge.expired", (store) => ({
    purge: async (limit) => {
      await store.purge(limit);
      return 0;
    },
  })),
  ruled(
    "purges a token that the clock has just reached",
    "token.purge",
    "purge",
    (record, name, given, nowMs) =>
      sound(record, name, given, record?.token === nowMs * 1_000 ? nowMs + 1 : nowMs),
  ),
];

/** Takes every time to be over a moment too early, for one operation. */
const early = (operation: string): Mutant =>
  ruled(
    `is a second early to ${operation}`,
    "time.early",
    operation,
    (record, name, given, nowMs) => sound(record, name, given, nowMs + 1_000),
  );

const inSeconds = (ms: number) => Math.floor(ms / 1_000) * 1_000;

const preciseMutants: readonly Mutant[] = [
  ...["purge", "read"].map(early),
  ruled("takes over a second early", "time.early", "claim", (record, name, given, nowMs) =>
    sound(record && { ...record, leaseEndsAt: record.leaseEndsAt - 1_000 }, name, given, nowMs),
  ),
  ruled(
    "waits a second less before a take-over",
    "time.early",
    "claim",
    (record, name, given, nowMs) => {
      const takeOverAfterMs = Math.max(0, (given.takeOverAfterMs ?? 0) - 1_000);
      return sound(record, name, { ...given, takeOverAfterMs }, nowMs);
    },
  ),
  ruled("lets outcomes expire a second early", "time.early", "claim", (record, ...rest) =>
    sound(record && { ...record, expiresAt: record.expiresAt - 1_000 }, ...rest),
  ),
  ruled("overrules the last second of a lease", "time.early", "complete", (record, ...rest) =>
    sound(record && { ...record, leaseEndsAt: record.leaseEndsAt - 1_000 }, ...rest),
  ),
  ruled(
    "keeps the ends of leases in seconds",
    "time.precise",
    "claim",
    storing(({ leaseEndsAt }) => ({ leaseEndsAt: inSeconds(leaseEndsAt) })),
  ),
  ruled(
    "keeps expiry in seconds",
    "time.precise",
    "claim",
    storing(({ expiresAt }) => ({ expiresAt: inSeconds(expiresAt) })),
  ),
  ruled(
    "rounds leases up to seconds",
    "time.precise",
    "claim",
    storing(({ leaseEndsAt }) => ({ leaseEndsAt: inSeconds(leaseEndsAt) + 1_000 })),
  ),
];

export const clockMutants: readonly Mutant[] = [
  ...preciseMutants,
  ...clientMutants,
  slowTokens(HOUR_MS, "values.tokens"),
  slowTokens(1_000, "token.handles"),
  ...numberMutants,
  ...purgeMutants,
];
