import { setImmediate as turn } from "node:timers/promises";
import type { Claimed } from "@idemkit/engine";
import { describe, expect, test } from "vitest";
import { transactionalClauses } from "../src/index.ts";
import { type Parts, recordsOf, transactionalHarness } from "./transactional-model.ts";

/** A broken store with transactions, and the clause that has to catch it. */
interface Mutant extends Partial<Parts> {
  readonly name: string;
  readonly caughtBy: string;
}

const mutants: readonly Mutant[] = [
  {
    name: "commits the outcome in a second commit after the work's",
    caughtBy: "transact.together",
    end: async (db, tx, completion) => {
      await db.commit(tx);
      await turn();
      const [isCompleted = false] = await recordsOf(db).complete([completion]);
      return isCompleted;
    },
  },
  {
    name: "commits the outcome in a second commit, even if it is refused",
    caughtBy: "transact.refused-outcome",
    end: async (db, tx, completion) => {
      await db.commit(tx);
      const [isCompleted = false] = await recordsOf(db).complete([completion]);
      return isCompleted;
    },
  },
  {
    name: "commits the outcome before the work",
    caughtBy: "transact.together",
    end: async (db, tx, completion) => {
      const [isCompleted = false] = await recordsOf(tx).complete([completion]);
      db.commitRecords(tx);
      await db.commit(tx);
      return isCompleted;
    },
  },
  {
    name: "commits the claim before the work",
    caughtBy: "transact.isolated",
    claim: async (db, tx, request) => {
      const [answer] = await recordsOf(tx).claim([request]);
      db.commitRecords(tx);
      return answer as Claimed;
    },
  },
  {
    name: "commits the claim before the work, and forgets it where that throws",
    caughtBy: "transact.isolated",
    claim: async (db, tx, request) => {
      const [answer] = await recordsOf(tx).claim([request]);
      db.commitRecords(tx);
      return answer as Claimed;
    },
    undo: async (db, tx, rows, { id }) => {
      tx.rows = rows;
      db.records.delete(id.digest);
    },
  },
  {
    name: "commits work whose outcome is refused",
    caughtBy: "transact.refused-outcome",
    end: async (db, tx, completion) => {
      const [isCompleted = false] = await recordsOf(tx).complete([completion]);
      await db.commit(tx);
      return isCompleted;
    },
  },
  {
    name: "calls work recorded whose outcome is refused",
    caughtBy: "transact.refused-outcome",
    end: async (db, tx, completion) => {
      const [isCompleted] = await recordsOf(tx).complete([completion]);
      if (isCompleted) await db.commit(tx);
      return true;
    },
  },
  {
    name: "commits nothing",
    caughtBy: "transact.commits",
    end: async () => true,
  },
  {
    name: "works again for a duplicate",
    caughtBy: "transact.replay",
    isGranted: ({ outcome }) => outcome === "claimed" || outcome === "completed",
  },
  {
    name: "works again for the same request",
    caughtBy: "transact.repeat",
    isGranted: ({ outcome }) => outcome === "claimed" || outcome === "completed",
  },
  {
    name: "keeps the rows of work that threw",
    caughtBy: "transact.throws",
    undo: (db, tx) => db.commit(tx),
  },
  {
    name: "records a failure beside the rows of its work",
    caughtBy: "transact.on-error",
    undo: async () => undefined,
  },
  {
    name: "records failures that onError did not return",
    caughtBy: "transact.on-error-silent",
    failed: (_, { token }, { id, owner }) => ({ id, owner, token, status: "failed", body: "" }),
  },
  {
    name: "runs work without a claim",
    caughtBy: "transact.refused",
    isGranted: () => true,
  },
  {
    name: "takes over before it may",
    caughtBy: "transact.refused",
    claim: async (_, tx, request) => {
      const [answer] = await recordsOf(tx).claim([{ ...request, takeOverAfterMs: 0 }]);
      return answer as Claimed;
    },
  },
  {
    name: "never takes over",
    caughtBy: "transact.take-over",
    claim: async (_, tx, request) => {
      const [answer] = await recordsOf(tx).claim([{ ...request, takeOver: false }]);
      return answer as Claimed;
    },
  },
  {
    name: "does not know its owner's claim",
    caughtBy: "transact.own-claim",
    claim: async (_, tx, request) => {
      const [answer] = await recordsOf(tx).claim([{ ...request, owner: "0".repeat(32) }]);
      return answer as Claimed;
    },
  },
  {
    name: "gives back its owner's claim where work throws",
    caughtBy: "transact.own-claim-throws",
    undo: async (db, _, __, { id, owner }) => {
      const token = db.records.get(id.digest)?.token ?? 0;
      await recordsOf(db).release([{ id, owner, token }]);
    },
  },
  {
    name: "works for a late owner",
    caughtBy: "transact.fence",
    isGranted: () => true,
  },
  {
    name: "lets transactions overwrite each other",
    caughtBy: "transact.race",
    exclusive: (_, task) => task(),
  },
  {
    name: "commits the writes of a bound store at once",
    caughtBy: "bind.rolls-back",
    bind: (db) => recordsOf(db),
  },
  {
    name: "never commits the writes of a bound store",
    caughtBy: "bind.commits",
    bind: (db) => recordsOf(db.begin()),
  },
  {
    name: "binds without a fence",
    caughtBy: "bind.fence",
    bind: (_, tx) => ({
      ...recordsOf(tx),
      renew: async (renewals) => renewals.map(() => true),
    }),
  },
];

describe("a store with transactions in memory keeps", () => {
  for (const { id, title, check } of transactionalClauses) {
    test(`${id}: ${title}`, () => check(transactionalHarness()));
  }
});

for (const { name, caughtBy, ...broken } of mutants) {
  test(`a store with transactions that ${name} is caught by ${caughtBy}`, async () => {
    const clause = transactionalClauses.find(({ id }) => id === caughtBy);
    expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
    await expect(clause?.check(transactionalHarness(broken))).rejects.toThrow(caughtBy);
  });
}

test("every clause of transactions catches a broken store", () => {
  const catching = new Set(mutants.map(({ caughtBy }) => caughtBy));
  expect(transactionalClauses.filter(({ id }) => !catching.has(id)).map(({ id }) => id)).toEqual(
    [],
  );
});
