import assert from "node:assert/strict";
import type { Claim, ClaimRequest, Completion, Renewal } from "@idemkit/engine";
import {
  assertAbout,
  type Bench,
  claimedList,
  clause,
  granted,
  LEASE_MS,
  listed,
  newOwner,
  RETENTION_MS,
  type Subject,
} from "../bench.ts";
import { BODIES, KEYS, SCOPE, TEXTS } from "../texts.ts";

/**
 * A statement for a list may treat all entries as it treats the first. So each list comes in both
 * orders: an optional member is once missing in the first entry, and once set there.
 */
const ORDERS = ["as it is", "turned round"] as const;

function inOrder<T>(order: (typeof ORDERS)[number], entries: readonly T[]): readonly T[] {
  return order === "as it is" ? entries : entries.toReversed();
}

/** Claims of one list, and their results for a claim that lapsed a minute ago. */
const TAKE_OVERS = [
  { given: { takeOver: false }, outcome: "lapsed" },
  { given: { takeOver: true }, outcome: "claimed" },
  { given: { takeOver: true, fingerprint: "other" }, outcome: "lapsed" },
  { given: { takeOver: true, takeOverAfterMs: 2 * LEASE_MS }, outcome: "lapsed" },
  { given: { takeOver: true, takeOverAfterMs: LEASE_MS / 2 }, outcome: "claimed" },
  { given: { takeOver: false, takeOverAfterMs: LEASE_MS / 2 }, outcome: "lapsed" },
] as const;

/** Completions of claims that run, and how long each outcome lives. Undefined: it is refused. */
const COMPLETIONS: readonly {
  readonly given: Omit<Completion, keyof Claim>;
  readonly livesMs: number | undefined;
}[] = [
  { given: { status: "succeeded", body: "one" }, livesMs: RETENTION_MS },
  { given: { status: "failed", body: "two", note: "why" }, livesMs: RETENTION_MS },
  { given: { status: "succeeded", body: "three", ifLapsed: true }, livesMs: undefined },
  {
    given: { status: "succeeded", body: "four", retentionMs: 5 * RETENTION_MS },
    livesMs: 5 * RETENTION_MS,
  },
  {
    given: { status: "failed", body: "five", note: "", retentionMs: 9 * RETENTION_MS },
    livesMs: 9 * RETENTION_MS,
  },
];

/** The lease of claims that are renewed. */
const GIVEN_LEASE_MS = 2 * LEASE_MS;

/** Renewals of claims without a checkpoint. */
const RENEWALS: readonly Omit<Renewal, keyof Claim>[] = [
  { leaseMs: LEASE_MS },
  { leaseMs: 3 * LEASE_MS, checkpoint: { revision: 3, value: "three" } },
  { leaseMs: 5 * LEASE_MS, checkpoint: { revision: 7, value: "seven" } },
  { leaseMs: 7 * LEASE_MS },
  { leaseMs: 9 * LEASE_MS, checkpoint: { revision: 2, value: "two" } },
  { checkpoint: { revision: 4, value: "four" } },
];

/** The texts of one record, of which each kind is as different as texts can be. */
interface Texts {
  readonly subject: Subject;
  readonly fingerprint: string;
  readonly checkpoint: string;
  readonly renewed: string;
  readonly body: string;
  readonly note: string;
}

function recordsOfTexts(bench: Bench): readonly Texts[] {
  return Object.values(BODIES).map((body, index) => {
    const text = (shift: number) => TEXTS[(index + shift) % TEXTS.length] ?? "";
    return {
      subject: bench.subject({ scope: SCOPE, key: KEYS[index % KEYS.length] ?? "" }),
      fingerprint: `${"Print ".repeat(12)}${index}`,
      checkpoint: text(0),
      renewed: text(1),
      body,
      note: text(2),
    };
  });
}

function claimAt(claims: readonly Claim[], index: number): Claim {
  const claim = claims[index];
  assert.ok(claim !== undefined, `no claim of entry ${index}`);
  return claim;
}

function requestOf({ subject, fingerprint, checkpoint }: Texts): ClaimRequest {
  return subject.request({ fingerprint, checkpoint });
}

function completionsOf(claims: readonly Claim[], given: readonly Texts[]): readonly Completion[] {
  return given.map(({ body, note }, index) => {
    return { ...claimAt(claims, index), status: "unknown", body, note };
  });
}

/** Reports the place and the lengths of a text that changed: the text itself may be long. */
function assertTexts(actual: readonly unknown[], expected: readonly string[], kind: string): void {
  const shown = (text: unknown) => (typeof text === "string" ? text.length : text);
  for (const [index, text] of expected.entries()) {
    const came = `${shown(actual[index])} characters came, ${shown(text)} were given`;
    assert.ok(actual[index] === text, `${kind} ${index} of the list changed on its way: ${came}`);
  }
}

export const listEntriesClauses = [
  clause("lists.own-claims", "each claim of a list has its own times and texts", async (bench) => {
    for (const order of ORDERS) {
      const given = inOrder(order, [1, 2, 3, 4]).map((factor) => ({
        subject: bench.subject(),
        retentionMs: factor * RETENTION_MS,
        leaseMs: factor * LEASE_MS,
        fingerprint: `print ${factor}`,
        ...(factor % 2 === 0 && { checkpoint: `begun ${factor}` }),
      }));
      const requests = given.map(({ subject, ...request }) => subject.request(request));
      const claims = await claimedList(bench.first, requests);
      const views = await bench.second.read(claims.map(({ id }) => id));
      for (const [index, { leaseMs, fingerprint, checkpoint }] of requests.entries()) {
        const view = views[index];
        assertAbout(view?.leaseRemainingMs, leaseMs, `entry ${index}: leaseRemainingMs`);
        assert.deepEqual(
          [view?.fingerprint, view?.checkpoint?.value, view?.owner],
          [fingerprint, checkpoint, requests[index]?.owner],
        );
      }
      const outcome = { status: "succeeded", body: "body" } as const;
      await bench.first.complete(claims.map((claim) => ({ ...claim, ...outcome })));
      for (const [index, view] of (await bench.second.read(claims.map(({ id }) => id))).entries()) {
        const livesMs = (view?.expiresAt ?? 0) - (view?.createdAt ?? 0);
        assertAbout(livesMs, requests[index]?.retentionMs ?? 0, `entry ${index}: retention`);
      }
    }
  }),

  clause("lists.own-take-overs", "each claim of a list has its own take-over", async (bench) => {
    for (const order of ORDERS) {
      const cases = inOrder(order, TAKE_OVERS);
      const subjects = bench.subjects(cases.length);
      const requests = subjects.map((subject) => subject.request());
      await claimedList(bench.first, requests);
      await bench.elapse(2 * LEASE_MS);
      const outcomes = await bench.second.claim(
        subjects.map((subject, index) => subject.request(cases[index]?.given)),
      );
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        cases.map(({ outcome }) => outcome),
      );
    }
  }),

  clause("lists.own-renewals", "each renewal of a list is its own", async (bench) => {
    for (const order of ORDERS) {
      const given = inOrder(order, RENEWALS);
      const subjects = bench.subjects(given.length);
      const requests = subjects.map((subject) => subject.request({ leaseMs: GIVEN_LEASE_MS }));
      const claims = await claimedList(bench.first, requests);
      const renewals = given.map((one, index) => ({ ...claimAt(claims, index), ...one }));
      const expected = claims.map(() => true);
      assert.deepEqual(await bench.second.renew(renewals), expected);
      const views = await bench.first.read(claims.map(({ id }) => id));
      for (const [index, { leaseMs, checkpoint }] of renewals.entries()) {
        const expectedMs = leaseMs ?? GIVEN_LEASE_MS;
        assertAbout(views[index]?.leaseRemainingMs, expectedMs, `entry ${index}: leaseRemainingMs`);
        assert.deepEqual(views[index]?.checkpoint, checkpoint, `entry ${index}`);
      }
    }
  }),

  clause("lists.own-completions", "each completion of a list is its own", async (bench) => {
    for (const order of ORDERS) {
      const cases = inOrder(order, COMPLETIONS);
      const requests = bench.subjects(cases.length).map((subject) => subject.request());
      const claims = await claimedList(bench.first, requests);
      const completions = cases.map(({ given }, index) => ({
        ...claimAt(claims, index),
        ...given,
      }));
      assert.deepEqual(
        await bench.second.complete(completions),
        cases.map(({ livesMs }) => livesMs !== undefined),
      );
      const views = await bench.first.read(claims.map(({ id }) => id));
      for (const [index, { given, livesMs }] of cases.entries()) {
        const view = views[index];
        const { status, body, note } = livesMs === undefined ? {} : { note: undefined, ...given };
        assert.deepEqual([view?.status, view?.body, view?.note], [status, body, note]);
        if (livesMs === undefined) continue;
        const leftMs = (view?.expiresAt ?? 0) - (view?.completedAt ?? 0);
        assertAbout(leftMs, livesMs, `entry ${index}: from completion to expiry`);
      }
    }
  }),

  clause("lists.texts", "texts come back from lists as they were given", async (bench) => {
    const given = recordsOfTexts(bench);
    const claims = await claimedList(bench.first, given.map(requestOf));
    await bench.second.renew(
      given.map(({ renewed }, index) => ({
        ...claimAt(claims, index),
        leaseMs: LEASE_MS,
        checkpoint: { revision: 1, value: renewed },
      })),
    );
    await bench.first.complete(completionsOf(claims, given));
    const ids = claims.map(({ id }) => id);
    const subjects = given.map(({ subject }) => subject);
    const shown = await listed(bench.second, "unknown", subjects, 1_000);
    const byDigest = new Map(shown.map((view) => [view.id.digest, view]));
    for (const views of [
      await bench.second.read(ids),
      ids.map(({ digest }) => byDigest.get(digest)),
    ]) {
      assert.deepEqual(
        views.map((view) => view?.id),
        ids,
      );
      for (const name of ["fingerprint", "body", "note"] as const) {
        assertTexts(
          views.map((view) => view?.[name]),
          given.map((one) => one[name]),
          name,
        );
      }
      assertTexts(
        views.map((view) => view?.checkpoint?.value),
        given.map(({ renewed }) => renewed),
        "checkpoint",
      );
    }
  }),

  clause("lists.results", "a list of claims returns whole texts", async (bench) => {
    const given = recordsOfTexts(bench);
    const requests = given.map(requestOf);
    const others = requests.map((request) => ({ ...request, owner: newOwner(), takeOver: false }));
    const checkpoints = given.map(({ checkpoint }) => checkpoint);
    const prints = given.map(({ fingerprint }) => fingerprint);
    const claimed = await bench.first.claim(requests);
    const claims = granted(requests, claimed);
    const running = await bench.second.claim(others);
    await bench.elapse(LEASE_MS);
    const lapsed = await bench.first.claim(others);
    await bench.second.complete(completionsOf(claims, given));
    const done = await bench.first.claim(others);
    for (const outcomes of [running, lapsed, done]) {
      const came = outcomes.map((one) => one.outcome !== "claimed" && one.fingerprint);
      assertTexts(came, prints, "fingerprint");
    }
    for (const outcomes of [claimed, lapsed]) {
      const came = outcomes.map((one) => "checkpoint" in one && one.checkpoint?.value);
      assertTexts(came, checkpoints, "checkpoint");
    }
    assertTexts(
      done.map((one) => one.outcome === "completed" && one.body),
      given.map(({ body }) => body),
      "body",
    );
  }),
];
