import assert from "node:assert/strict";
import { batchedStore, type ClaimRequest, type Completion, type Renewal } from "@idemkit/engine";
import { modelStore, type StoredRecord, transition } from "@idemkit/engine/model";
import { type Bench, clause, LEASE_MS, newOwner, RETENTION_MS, Subject } from "../bench.ts";
import type { Clause } from "../harness.ts";

/** Divides all durations here, so that the time a clause takes changes no result. */
const UNIT_MS = 20_000;

interface Owners {
  /** Claimed the record first. */
  readonly owner: string;
  /** Took it over, in some histories. */
  readonly rival: string;
  /** Claimed it last. */
  readonly holder: string;
  /** Has never claimed it. */
  readonly stranger: string;
}

type Act = (subject: Subject, owners: Owners) => Promise<unknown>;

const claim: Act = (subject, { owner }) => subject.claimed({ owner });
const begin: Act = (subject, { owner }) => subject.claimed({ owner, checkpoint: "begun" });
const takeOver: Act = (subject, { rival }) => subject.claimed({ owner: rival, takeOver: true });
const renew: Act = (subject, { owner }) =>
  subject.renew(owner, { leaseMs: 2 * LEASE_MS, checkpoint: { revision: 2, value: "two" } });
const release: Act = (subject, { owner }) => subject.release(owner);
const remove: Act = async (subject) => await subject.remove(subject.claimOf("").token);
const succeed: Act = (subject, { owner }) => subject.complete(owner, { note: "note" });
const fail: Act = (subject, { owner }) => subject.complete(owner, { status: "failed" });
const hold: Act = (subject, { owner }) =>
  subject.complete(owner, { status: "unknown", body: "evidence", note: "why" });

type History = readonly [longAgo: readonly Act[], aWhileAgo: readonly Act[], now: readonly Act[]];

/** How long ago each part of a history was when the next one began. */
const PARTS_MS = [RETENTION_MS, 2 * LEASE_MS, 0] as const;

/** Every kind of record, by the history that makes it one. */
const KINDS: Readonly<Record<string, History>> = {
  absent: [[], [], []],
  running: [[], [], [claim]],
  "running with a checkpoint": [[], [], [begin, renew]],
  lapsed: [[], [claim], []],
  "lapsed with a checkpoint": [[], [begin], []],
  "lapsed for long": [[claim], [], []],
  "taken over": [[], [begin], [takeOver]],
  "taken over and lapsed": [[claim], [takeOver], []],
  unknown: [[], [], [begin, hold]],
  "unknown for long": [[claim, hold], [], []],
  succeeded: [[], [claim, succeed], []],
  failed: [[], [], [claim, fail]],
  released: [[], [claim, release], []],
  "released with a checkpoint": [[], [], [begin, release]],
  "released with a note": [[], [], [claim, hold, release]],
  removed: [[], [], [begin, succeed, remove]],
  expired: [[begin, succeed], [], []],
  "released and expired": [[begin, release], [], []],
};

/** A record of some kind, and the operation that is tried on it. */
interface Case extends Owners {
  readonly subject: Subject;
  readonly kind: string;
  readonly variant: string;
  readonly act: Act;
}

/**
 * Makes records of all kinds and tries the acts on them.
 *
 * @returns the results and the records as they are read afterwards, in a form that can be compared
 */
async function play(
  cases: readonly Case[],
  elapse: (ms: number, subjects: readonly Subject[]) => Promise<void>,
  storesNow: () => Promise<number>,
): Promise<readonly unknown[]> {
  for (const [part, passedMs] of PARTS_MS.entries()) {
    const hasBegun = ({ kind }: Case) => KINDS[kind]?.slice(0, part + 1).flat().length !== 0;
    await Promise.all(
      cases.map(async ({ subject, kind, ...owners }) => {
        for (const act of KINDS[kind]?.[part] ?? []) await act(subject, owners);
      }),
    );
    const subjects = cases.filter(hasBegun).map(({ subject }) => subject);
    if (passedMs > 0) await elapse(passedMs, subjects);
  }
  const tokens = cases.map(({ subject }) => subject.claimOf("").token);
  const results = await Promise.all(
    cases.map(({ subject, act, ...owners }) => act(subject, owners)),
  );
  const views = await Promise.all(cases.map(({ subject }) => subject.read()));
  const nowMs = await storesNow();
  return cases.map((_, index) =>
    comparable([results[index], views[index]], tokens[index] ?? 0, nowMs),
  );
}

/** Times as units from now, and tokens as the same, a greater or a smaller one. */
function comparable(value: unknown, token: number, nowMs: number): unknown {
  const inUnits = (ms: number) => Math.round(ms / UNIT_MS) + 0;
  const shown = JSON.stringify(value, (name, inner: unknown) => {
    if (typeof inner !== "number") return inner === undefined ? null : inner;
    if (name === "token") return Math.sign(inner - token);
    if (name.endsWith("At")) return inUnits(inner - nowMs);
    return name.endsWith("Ms") ? inUnits(inner) : inner;
  });
  return JSON.parse(shown);
}

/** The reference's records, which are moved back as those of a database are. */
function reference() {
  const records = new Map<string, StoredRecord>();
  const elapse = async (ms: number, subjects: readonly Subject[]) => {
    for (const { id } of subjects) {
      const record = records.get(id.digest);
      if (record === undefined) continue;
      const { completedAt } = record;
      records.set(id.digest, {
        ...record,
        leaseEndsAt: record.leaseEndsAt - ms,
        expiresAt: record.expiresAt - ms,
        createdAt: record.createdAt - ms,
        completedAt: completedAt === undefined ? undefined : completedAt - ms,
      });
    }
  };
  return { store: modelStore({ transition, records, clock: Date.now }), elapse };
}

/** A clause that tries each variant of an operation on each kind of record. */
function each(
  operation: string,
  title: string,
  variants: Readonly<Record<string, Act>>,
  kinds: readonly string[] = Object.keys(KINDS),
): Clause {
  return clause(`each.${operation}`, title, async (bench: Bench) => {
    // Behind a front all that is done at once is done in lists.
    const [first, model] = [batchedStore(bench.first), reference()];
    const cases: readonly Case[] = kinds.flatMap((kind) =>
      Object.entries(variants).map(([variant, act]) => {
        const [owner, rival, stranger] = [newOwner(), newOwner(), newOwner()];
        const holder = KINDS[kind]?.flat().includes(takeOver) ? rival : owner;
        const owners = { owner, rival, holder, stranger };
        return { kind, variant, act, subject: bench.subject().through(first), ...owners };
      }),
    );
    const ofModel = cases.map((one) => ({
      ...one,
      subject: new Subject(one.subject.id, model.store),
    }));
    const expected = await play(ofModel, model.elapse, async () => Date.now());
    const actual = await play(
      cases,
      (ms, subjects) => bench.elapse(ms, subjects),
      async () => (await bench.subject().claimed()).createdAt,
    );
    for (const [index, { kind, variant }] of cases.entries()) {
      const [came, reference] = [actual[index], expected[index]].map((one) => JSON.stringify(one));
      const message = `${variant} of a record that is ${kind}: expected ${reference}, got ${came}`;
      assert.deepEqual(actual[index], expected[index], message);
    }
    // Other clauses page through the open records: these must not be in their way.
    await Promise.all(
      cases.map(async ({ subject }) => {
        const { owner, token } = (await subject.read()) ?? {};
        if (owner !== undefined && token !== undefined) await subject.release(owner, { token });
      }),
    );
  });
}

/** Claims that differ in their owner, their rights and their content. */
function claims(): Readonly<Record<string, Act>> {
  const variants: Record<string, Act> = {};
  const givens: Readonly<Record<string, Partial<ClaimRequest>>> = {
    plain: {},
    "with a checkpoint": { checkpoint: "new" },
    "that may take over": { takeOver: true, checkpoint: "new" },
    "with another fingerprint": { fingerprint: "other" },
    "with another fingerprint that may take over": { fingerprint: "other", takeOver: true },
    "that may take over after a lease": { takeOver: true, takeOverAfterMs: LEASE_MS },
    "that may take over later": { takeOver: true, takeOverAfterMs: 2 * RETENTION_MS },
  };
  for (const by of ["stranger", "holder"] as const) {
    for (const [name, given] of Object.entries(givens)) {
      variants[`a claim by the ${by} ${name}`] = (subject, owners) =>
        subject.claim({ leaseMs: 3 * LEASE_MS, owner: owners[by], ...given });
    }
  }
  return variants;
}

/** The same act by claims that do not hold the record, or not any more. */
function forged(
  name: string,
  act: (subject: Subject, owner: string, given: { readonly token?: number }) => Promise<unknown>,
): Readonly<Record<string, Act>> {
  return {
    [`${name} by a stranger`]: (subject, { stranger }) => act(subject, stranger, {}),
    [`${name} by its first owner`]: (subject, { owner }) => act(subject, owner, {}),
    [`${name} under an older token`]: (subject, { holder }) =>
      act(subject, holder, { token: subject.claimOf(holder).token - 1 }),
    [`${name} under a later token`]: (subject, { holder }) =>
      act(subject, holder, { token: subject.claimOf(holder).token + 1 }),
  };
}

function renewals(): Readonly<Record<string, Act>> {
  const givens: Readonly<Record<string, Omit<Renewal, "id" | "owner" | "token">>> = {
    "for some time": { leaseMs: 3 * LEASE_MS },
    "for no time": { leaseMs: 0 },
    "with progress": { leaseMs: LEASE_MS, checkpoint: { revision: 5, value: "five" } },
    "with older progress": { leaseMs: LEASE_MS, checkpoint: { revision: 1, value: "one" } },
  };
  const variants: Record<string, Act> = {};
  for (const [name, given] of Object.entries(givens)) {
    variants[`a renewal ${name}`] = (subject, { holder }) => subject.renew(holder, given);
  }
  const progress = { revision: 7, value: "seven" };
  variants["a renewal that only keeps progress"] = (subject, { holder }) =>
    subject.keep(holder, progress);
  return { ...variants, ...forged("a renewal", (subject, ...rest) => subject.renew(...rest)) };
}

/** A record that is released past its retention is absent at once: `claim.open-ends` releases it alone. */
const RELEASED_KINDS = Object.keys(KINDS).filter((kind) => !kind.endsWith("for long"));

function completions(): Readonly<Record<string, Act>> {
  const givens: Readonly<Record<string, Partial<Completion>>> = {
    "as a success": {},
    "as a failure": { status: "failed" },
    "as another success": { body: "other" },
    "as unknown": { status: "unknown", body: "evidence" },
    "with a note": { note: "new" },
    "for longer": { retentionMs: 2 * RETENTION_MS },
    "for less": { retentionMs: LEASE_MS },
    "if it has lapsed": { ifLapsed: true },
  };
  const variants: Record<string, Act> = {};
  for (const [name, given] of Object.entries(givens)) {
    variants[`a completion ${name}`] = (subject, { holder }) =>
      subject.complete(holder, { retentionMs: RETENTION_MS, ...given });
  }
  const others = forged("a completion", (subject, owner, given) =>
    subject.complete(owner, { retentionMs: RETENTION_MS, ...given }),
  );
  return { ...variants, ...others };
}

export const eachClauses = [
  each("claim", "claims match the reference for each kind of record", claims()),
  each("renew", "renewals match the reference for each kind of record", renewals()),
  each("complete", "completions match the reference for each kind of record", completions()),
  each(
    "release",
    "releases match the reference for each kind of record",
    {
      "a release": (subject, { holder }) => subject.release(holder),
      ...forged("a release", (subject, ...rest) => subject.release(...rest)),
    },
    RELEASED_KINDS,
  ),
  each("remove", "removals match the reference for each kind of record", {
    "a removal": remove,
    "a removal by an older token": (subject) => subject.remove(subject.claimOf("").token - 1),
    "a removal by a later token": (subject) => subject.remove(subject.claimOf("").token + 1),
  }),
];
