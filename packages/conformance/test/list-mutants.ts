import type { Claim, ClaimRequest, Completion, RecordId, Renewal, Store } from "@idemkit/engine";
import type { StoredRecord } from "@idemkit/engine/model";
import { isDone, type Mutant, ruled, sound, told, wrapped } from "./breaking.ts";

/** The operations on claims, with the type of their entries. */
interface Entries {
  readonly claim: ClaimRequest;
  readonly renew: Renewal;
  readonly complete: Completion;
  readonly release: Claim;
}

/** A mutant that changes the entries of lists, and no entry that comes alone. */
function inLists<Name extends keyof Entries>(
  name: string,
  caughtBy: string,
  operation: Name,
  change: (
    entry: Entries[Name],
    place: { readonly index: number; readonly first: Entries[Name] },
    records: Map<string, StoredRecord>,
  ) => Partial<Entries[Name]>,
): Mutant {
  return wrapped(name, caughtBy, (store, records) => {
    const apply = store[operation] as (
      entries: readonly Entries[Name][],
    ) => Promise<readonly never[]>;
    const broken = (entries: readonly Entries[Name][]) => {
      const [first] = entries;
      if (first === undefined || entries.length === 1) return apply(entries);
      return apply(
        entries.map((entry, index) => ({ ...entry, ...change(entry, { index, first }, records) })),
      );
    };
    return { [operation]: broken } as Partial<Store>;
  });
}

const relabelled = (id: RecordId, change: (text: string) => string): { readonly id: RecordId } => ({
  id: { ...id, key: change(id.key) },
});

const ascii = (text: string) => text.replaceAll(/[^\0-\x7f]/g, "?");

const textMutants: readonly Mutant[] = [
  inLists("cuts bodies at 8 KiB in lists", "lists.texts", "complete", ({ body }) => ({
    body: body.slice(0, 8_192),
  })),
  inLists("cuts bodies at 64 KiB in lists", "lists.texts", "complete", ({ body }) => ({
    body: body.slice(0, 65_536),
  })),
  inLists("normalises bodies in lists", "lists.texts", "complete", ({ body }) => ({
    body: body.normalize(),
  })),
  inLists("takes an empty body in a list for none", "lists.texts", "complete", ({ body }) => ({
    body: body || "null",
  })),
  inLists("trims notes in lists", "lists.texts", "complete", ({ note }) =>
    note === undefined ? {} : { note: note.trimEnd() },
  ),
  inLists("takes an empty note in a list for none", "lists.texts", "complete", ({ note }) =>
    note === "" ? ({ note: undefined } as unknown as Partial<Completion>) : {},
  ),
  inLists("cuts keys at 64 characters in lists", "lists.texts", "claim", ({ id }) =>
    relabelled(id, (key) => key.slice(0, 64)),
  ),
  inLists("writes keys of lists in lower case", "lists.texts", "claim", ({ id }) =>
    relabelled(id, (key) => key.toLowerCase()),
  ),
  inLists("keeps only ASCII of scopes in lists", "lists.texts", "claim", ({ id }) => ({
    id: { ...id, scope: ascii(id.scope) },
  })),
  inLists("cuts fingerprints in lists", "lists.texts", "claim", ({ fingerprint }) => ({
    fingerprint: fingerprint.slice(0, 32),
  })),
  inLists("trims first checkpoints in lists", "lists.results", "claim", ({ checkpoint }) =>
    checkpoint === undefined ? {} : { checkpoint: checkpoint.trim() },
  ),
  inLists("cuts checkpoints in lists of renewals", "lists.texts", "renew", ({ checkpoint }) =>
    checkpoint === undefined
      ? {}
      : { checkpoint: { ...checkpoint, value: checkpoint.value.slice(0, 65_535) } },
  ),
  wrapped("cuts the bodies of replays in lists", "lists.results", (store) => ({
    claim: async (requests) => {
      const answers = await store.claim(requests);
      if (requests.length === 1) return answers;
      return answers.map((answer) =>
        answer.outcome === "completed" ? { ...answer, body: answer.body.slice(0, 65_536) } : answer,
      );
    },
  })),
  wrapped("reads lists without notes", "lists.texts", (store) => ({
    read: async (ids) => {
      const views = await store.read(ids);
      if (ids.length === 1) return views;
      return views.map((view) => {
        if (view === undefined) return view;
        const { note: _note, ...rest } = view;
        return rest;
      });
    },
  })),
  wrapped("shows texts cut on pages of more than one", "lists.texts", (store) => ({
    list: async (query) => {
      const { records, ...page } = await store.list(query);
      if (records.length < 2) return { records, ...page };
      return {
        ...page,
        records: records.map((view) =>
          view.body === undefined ? view : { ...view, body: view.body.slice(0, 65_536) },
        ),
      };
    },
  })),
];

const ownMutants: readonly Mutant[] = [
  inLists("grants all the lease of the first", "lists.own-claims", "claim", (_, { first }) => ({
    leaseMs: first.leaseMs,
  })),
  inLists("grants all the retention of the first", "lists.own-claims", "claim", (_, { first }) => ({
    retentionMs: first.retentionMs,
  })),
  inLists(
    "lets all take over if the first may",
    "lists.own-take-overs",
    "claim",
    (_, { first }) => ({
      takeOver: first.takeOver,
    }),
  ),
  inLists(
    "waits with all as long as with the first",
    "lists.own-take-overs",
    "claim",
    (_, { first }) => ({
      takeOverAfterMs: first.takeOverAfterMs ?? 0,
    }),
  ),
  inLists(
    "compares all with the first fingerprint",
    "lists.own-take-overs",
    "claim",
    (_, { first }) => ({
      fingerprint: first.fingerprint,
    }),
  ),
  inLists("drops checkpoints if the first has none", "lists.own-claims", "claim", (_, { first }) =>
    first.checkpoint === undefined
      ? ({ checkpoint: undefined } as unknown as Partial<ClaimRequest>)
      : {},
  ),
  inLists("renews all for as long as the first", "lists.own-renewals", "renew", (_, { first }) =>
    first.leaseMs === undefined ? {} : { leaseMs: first.leaseMs },
  ),
  inLists(
    "lets claims lapse that a list renews without leaseMs",
    "lists.own-renewals",
    "renew",
    ({ leaseMs = 0 }) => ({
      leaseMs,
    }),
  ),
  inLists(
    "drops renewed checkpoints if the first has none",
    "lists.own-renewals",
    "renew",
    (_, { first }) =>
      first.checkpoint === undefined
        ? ({ checkpoint: undefined } as unknown as Partial<Renewal>)
        : {},
  ),
  inLists(
    "keeps the first revision for all",
    "lists.own-renewals",
    "renew",
    ({ checkpoint }, { first }) =>
      checkpoint === undefined
        ? {}
        : {
            checkpoint: {
              ...checkpoint,
              revision: first.checkpoint?.revision ?? checkpoint.revision,
            },
          },
  ),
  inLists(
    "records all under the first status",
    "lists.own-completions",
    "complete",
    (_, { first }) => ({
      status: first.status,
    }),
  ),
  inLists(
    "drops notes if the first has none",
    "lists.own-completions",
    "complete",
    (_, { first }) =>
      first.note === undefined ? ({ note: undefined } as unknown as Partial<Completion>) : {},
  ),
  inLists(
    "keeps all as long as the first asks",
    "lists.own-completions",
    "complete",
    (_, { first }) => ({
      retentionMs: first.retentionMs ?? 0,
    }),
  ),
  inLists(
    "respects leases if the first does",
    "lists.own-completions",
    "complete",
    (_, { first }) => ({
      ifLapsed: first.ifLapsed ?? false,
    }),
  ),
];

/** The claim as the record has it: no fence at all, or only one of the owner. */
const claimOfRecord = (
  { id }: Claim,
  records: Map<string, StoredRecord>,
): Partial<Record<"owner" | "token", never>> => {
  const { owner, token } = records.get(id.digest) ?? {};
  return { owner, token } as Partial<Record<"owner" | "token", never>>;
};

const fenceMutants: readonly Mutant[] = (["renew", "complete", "release"] as const).flatMap(
  (operation) => [
    inLists(
      `does not compare tokens beyond 128 entries of ${operation}`,
      "lists.fences",
      operation,
      (entry, { index }, records) => {
        const { token } = claimOfRecord(entry, records);
        return index < 128 || token === undefined ? {} : { token };
      },
    ),
    inLists(
      `does not compare owners in every 64th entry of ${operation}`,
      "lists.fences",
      operation,
      (entry, { index }, records) => {
        const { owner } = claimOfRecord(entry, records);
        return index % 64 !== 63 || owner === undefined ? {} : { owner };
      },
    ),
  ],
);

/** Takes a repeated outcome for the one that is stored if the two bodies look alike. */
function alike(name: string, isAlike: (stored: string, body: string) => boolean): Mutant {
  return ruled(
    `compares repeated outcomes ${name}`,
    "complete.repeat-exact",
    "complete",
    (record, asked, given, nowMs) => {
      const body = record?.body;
      const isRepeat = body !== undefined && isDone(record) && isAlike(body, given.body);
      return sound(record, asked, isRepeat ? { ...given, body } : given, nowMs);
    },
  );
}

const asJson = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
};

const repeatMutants: readonly Mutant[] = [
  alike("without case", (stored, body) => stored.toLowerCase() === body.toLowerCase()),
  alike("without trailing blanks", (stored, body) => stored.trimEnd() === body.trimEnd()),
  alike(
    "without accents",
    (stored, body) => stored.localeCompare(body, "en", { sensitivity: "base" }) === 0,
  ),
  alike("once composed", (stored, body) => stored.normalize() === body.normalize()),
  alike("as JSON", (stored, body) => asJson(stored) === asJson(body)),
  alike("not beyond 8 KiB", (stored, body) => stored.slice(0, 8_192) === body.slice(0, 8_192)),
  alike("not beyond 64 KiB", (stored, body) => stored.slice(0, 65_536) === body.slice(0, 65_536)),
  alike(
    "by their lengths once they are long",
    (stored, body) => stored.length > 300 && stored.length === body.length,
  ),
  wrapped(
    "compares repeated outcomes of lists without case",
    "complete.repeat-exact",
    (store, records) => ({
      complete: (completions) =>
        store.complete(
          completions.map((completion) => {
            const { body } = records.get(completion.id.digest) ?? {};
            const isAlike = body?.toLowerCase() === completion.body.toLowerCase();
            return completions.length > 1 && isAlike && body !== undefined
              ? { ...completion, body }
              : completion;
          }),
        ),
    }),
  ),
];

/** Shows at most so many records of a state, and no next page. */
const capped = (count: number): Mutant =>
  wrapped(`lists no more than ${count} records of a state`, "list.whole", (store) => ({
    list: async (query) => {
      if (query.limit <= count) return await store.list(query);
      const { records } = await store.list({ ...query, limit: count });
      return { records };
    },
  }));

export const listMutants: readonly Mutant[] = [
  ...textMutants,
  ...ownMutants,
  ...fenceMutants,
  ...repeatMutants,
  capped(100),
  capped(256),
  capped(999),
  wrapped("returns true in lists of repeats", "complete.repeat-exact", (store, records) => ({
    complete: async (completions) => {
      const wereDone = completions.map(({ id }) => isDone(records.get(id.digest)));
      const answers = await store.complete(completions);
      return answers.map(
        (answer, index) => answer || (completions.length > 1 && wereDone[index] === true),
      );
    },
  })),
  ruled(
    "returns true for any token once there is an outcome",
    "complete.token",
    "complete",
    (record, ...rest) =>
      isDone(record) && record?.owner === rest[1].owner && record.body === rest[1].body
        ? told(record)
        : sound(record, ...rest),
  ),
];
