import assert from "node:assert/strict";
import type { Claim, Completion, OpenState } from "@idemkit/engine";
import { claimedList, clause, granted, LEASE_MS, listed, newOwner } from "../bench.ts";

const LIST_MAX = 256;
/** More than the greatest page may hold. */
const RECORDS_OF_A_STATE = 4 * LIST_MAX;
const FENCES = ["right", "owner", "token"] as const;

export const listsClauses = [
  clause("lists.empty", "an empty list is answered by an empty list", async (bench) => {
    const { first } = bench;
    assert.deepEqual(await first.claim([]), []);
    assert.deepEqual(await first.renew([]), []);
    assert.deepEqual(await first.complete([]), []);
    assert.deepEqual(await first.release([]), []);
    assert.deepEqual(await first.read([]), []);
  }),
  clause("lists.mixed", "answers come in the order of the entries, each its own", async (bench) => {
    const subjects = bench.subjects(12);
    const kinds = ["absent", "running", "done", "released"] as const;
    const owners: string[] = [];
    for (const [index, subject] of subjects.entries()) {
      const kind = kinds[index % kinds.length];
      const owner = kind === "absent" ? newOwner() : (await subject.claimed()).owner;
      if (kind === "done") await subject.complete(owner, { body: `body ${index}` });
      if (kind === "released") await subject.release(owner);
      owners.push(owner);
    }
    const claims = subjects.map((subject, index) => subject.claimOf(owners[index] ?? ""));
    const views = await bench.second.read(subjects.map(({ id }) => id));
    assert.deepEqual(
      views.map((view) => view && [view.id.digest, view.state]),
      subjects.map(({ id }, index) => {
        const state = [undefined, "in-progress", "completed", "released"][index % kinds.length];
        return state && [id.digest, state];
      }),
    );
    const renewals = claims.map((claim) => ({ ...claim, leaseMs: LEASE_MS }));
    const isRunning = claims.map((_, index) => kinds[index % kinds.length] === "running");
    assert.deepEqual(await bench.first.renew(renewals), isRunning);
    const completions = claims.map((claim, index) => ({
      ...claim,
      status: "succeeded" as const,
      body: `body ${index}`,
    }));
    assert.deepEqual(
      await bench.first.complete(completions),
      claims.map((_, index) => ["running", "done"].includes(kinds[index % kinds.length] ?? "")),
    );
    const outcomes = await bench.second.claim(subjects.map((subject) => subject.request()));
    assert.deepEqual(
      outcomes.map((outcome) =>
        outcome.outcome === "completed" ? outcome.body : `${outcome.outcome} ${outcome.attempt}`,
      ),
      claims.map((_, index) => {
        const kind = kinds[index % kinds.length];
        if (kind === "absent") return "claimed 1";
        return kind === "released" ? "claimed 2" : `body ${index}`;
      }),
    );
    assert.deepEqual(
      await bench.first.release(claims),
      claims.map(() => false),
    );
  }),
  clause("lists.256", "a list may have 256 entries", async (bench) => {
    const subjects = bench.subjects(LIST_MAX);
    const requests = subjects.map((subject) => subject.request());
    const outcomes = await bench.first.claim(requests);
    assert.deepEqual(new Set(outcomes.map(({ outcome }) => outcome)), new Set(["claimed"]));
    const completions = granted(requests, outcomes).map((claim, index) => ({
      ...claim,
      status: "succeeded" as const,
      body: `body ${index}`,
    }));
    assert.deepEqual(
      await bench.second.complete(completions),
      requests.map(() => true),
    );
    const again = await bench.second.claim(subjects.map((subject) => subject.request()));
    assert.deepEqual(
      again.map((outcome) => outcome.outcome === "completed" && outcome.body),
      completions.map(({ body }) => body),
    );
  }),

  clause(
    "lists.256-each",
    "every list operation takes 256 entries, one of them refused",
    async (bench) => {
      const subjects = bench.subjects(LIST_MAX);
      const requests = subjects.map((subject) => subject.request());
      const claims = granted(requests, await bench.first.claim(requests));
      const strangers = claims.map((claim, index) =>
        index === 200 ? { ...claim, owner: newOwner() } : claim,
      );
      const expected = claims.map((_, index) => index !== 200);
      const renewals = strangers.map((claim) => ({ ...claim, leaseMs: LEASE_MS }));
      assert.deepEqual(await bench.second.renew(renewals), expected);
      const views = await bench.second.read(claims.map(({ id }) => id));
      assert.deepEqual(
        views.map((view) => view?.owner),
        claims.map(({ owner }) => owner),
      );
      const outcome = { status: "unknown", body: "b" } as const;
      assert.deepEqual(
        await bench.first.complete(strangers.map((claim) => ({ ...claim, ...outcome }))),
        expected,
      );
      assert.deepEqual(await bench.second.release(strangers), expected);
    },
  ),

  clause(
    "lists.fences",
    "every entry of a list is fenced by owner and token, wherever it stands",
    async (bench) => {
      const requests = bench.subjects(LIST_MAX).map((subject) => subject.request());
      const claims = await claimedList(bench.first, requests);
      const outcome = { status: "succeeded", body: "body" } as const;
      const checkpoint = { revision: 9, value: "foreign" };
      const foreign = (index: number) =>
        index % 2 === 0 ? { leaseMs: 9 * LEASE_MS, checkpoint } : { checkpoint };
      // Three lists give every place a right claim, one of another owner and one with another token.
      for (const turn of [0, 1, 2]) {
        const kindOf = (index: number) => FENCES[(index + turn) % FENCES.length];
        const wrong = claims.map((claim, index) => forged(claim, kindOf(index)));
        const expected = claims.map((_, index) => kindOf(index) === "right");
        const renewals = wrong.map((claim, index) =>
          expected[index] ? { ...claim, leaseMs: LEASE_MS } : { ...claim, ...foreign(index) },
        );
        assert.deepEqual(await bench.second.renew(renewals), expected);
      }
      for (const view of await bench.first.read(claims.map(({ id }) => id))) {
        assert.equal(view?.checkpoint, undefined, "a refused renewal has left its checkpoint");
      }
      const none = claims.map(() => false);
      for (const kind of ["owner", "token"] as const) {
        const wrong = claims.map((claim) => forged(claim, kind));
        assert.deepEqual(await bench.second.release(wrong), none, kind);
        const completions = wrong.map((claim) => ({ ...claim, ...outcome }));
        assert.deepEqual(await bench.first.complete(completions), none, kind);
      }
      const completions = claims.map((claim) => ({ ...claim, ...outcome }));
      const all = claims.map(() => true);
      assert.deepEqual(await bench.second.complete(completions), all);
      for (const kind of ["owner", "token"] as const) {
        const repeats = completions.map((completion) => forged(completion, kind));
        assert.deepEqual(await bench.first.complete(repeats), none, `repeated, another ${kind}`);
      }
      assert.deepEqual(await bench.second.release(claims), none, "an outcome is not released");
    },
  ),

  clause("list.whole", "no open record is missing from the pages of a list", async (bench) => {
    const subjects = bench.subjects(RECORDS_OF_A_STATE);
    const claims: Claim[] = [];
    for (let from = 0; from < subjects.length; from += LIST_MAX) {
      const some = subjects
        .slice(from, from + LIST_MAX)
        .map((subject) => subject.request({ retentionMs: 1 }));
      claims.push(...(await claimedList(bench.first, some)));
    }
    const inLists = async (act: (list: readonly Claim[]) => Promise<unknown>) => {
      for (let from = 0; from < claims.length; from += LIST_MAX) {
        await act(claims.slice(from, from + LIST_MAX));
      }
    };
    const endAll = (status: Completion["status"]) =>
      inLists((list) =>
        bench.first.complete(list.map((claim) => ({ ...claim, status, body: "" }))),
      );
    const expectAll = async (state: OpenState) => {
      const found = await listed(bench.second, state, subjects, 1_000);
      const digests = new Set(found.map(({ id }) => id.digest));
      assert.equal(digests.size, subjects.length, `records that are ${state}`);
      assert.equal(found.length, subjects.length, `records that are ${state}, each once`);
    };
    await expectAll("in-progress");
    await inLists((list) => bench.second.renew(list.map((claim) => ({ ...claim, leaseMs: 0 }))));
    await expectAll("lapsed");
    await endAll("unknown");
    await expectAll("unknown");
    // Other clauses page through the records of the store: these expire at once.
    await endAll("succeeded");
  }),
];

function forged<C extends Claim>(claim: C, kind: (typeof FENCES)[number] | undefined): C {
  if (kind === "owner") return { ...claim, owner: newOwner() };
  return kind === "token" ? { ...claim, token: claim.token - 1 } : claim;
}
