import assert from "node:assert/strict";
import { clause, granted, LEASE_MS, newOwner } from "../bench.ts";

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
    const subjects = bench.subjects(256);
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
];
