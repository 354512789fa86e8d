import assert from "node:assert/strict";
import type { Completion, TransactionalStore } from "@idemkit/engine";
import { claimed, requestOf } from "./requests.ts";

type Rows = readonly unknown[];

/** A store whose driver can be made to return other rows than the server has sent. */
interface MixedUp {
  readonly store: TransactionalStore<never>;
  /** From now on each statement that returns rows passes them through this. */
  change(how: (rows: Rows) => Rows): void;
}

export interface MixedUpScenario {
  readonly title: string;
  run(given: MixedUp): Promise<void>;
}

const asSent = (rows: Rows) => rows;
const OTHER_RECORD = /row of another record than the statement asked for/;

/** Two records, `a` and `b`, whose outcomes are their names, and `c`, which is claimed. */
async function records({ store }: MixedUp) {
  const requests = ["a", "b", "c"].map((key) => requestOf(key));
  const [a, b, c] = await claimed(store, requests);
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  const completions: readonly Completion[] = [
    { ...a, status: "succeeded", body: "a" },
    { ...b, status: "succeeded", body: "b" },
  ];
  assert.deepEqual(await store.complete(completions), [true, true]);
  return { a, b, c };
}

/** The rows that a read of one record returns. */
async function rowsOf({ store, change }: MixedUp, key: string): Promise<Rows> {
  let seen: Rows = [];
  change((rows) => {
    seen = rows;
    return rows;
  });
  await store.read([requestOf(key).id]);
  change(asSent);
  assert.equal(seen.length, 1);
  return seen;
}

async function bodies({ store }: MixedUp, keys: readonly string[]) {
  const answers = await store.claim(keys.map((key) => requestOf(key)));
  return answers.map((answer) => ("body" in answer ? answer.body : answer.outcome));
}

/** What a store on an SQL database does where rows are mixed up on their way to it. */
export const mixedUpRows: readonly MixedUpScenario[] = [
  {
    title: "rows in another order give each caller its own outcome",
    run: async (given) => {
      await records(given);
      given.change((rows) => rows.toReversed());
      assert.deepEqual(await bodies(given, ["a", "b"]), ["a", "b"]);
      const views = await given.store.read(["a", "b"].map((key) => requestOf(key).id));
      assert.deepEqual(
        views.map((view) => view?.body),
        ["a", "b"],
      );
    },
  },
  {
    title: "a row that is missing once is asked for again",
    run: async (given) => {
      await records(given);
      given.change((rows) => {
        given.change(asSent);
        return rows.slice(1);
      });
      assert.deepEqual(await bodies(given, ["a", "b"]), ["a", "b"]);
    },
  },
  {
    title: "the row of another record gives no outcome to a claim, alone or in a list",
    run: async (given) => {
      await records(given);
      const other = await rowsOf(given, "b");
      given.change(() => other);
      await assert.rejects(bodies(given, ["a"]), OTHER_RECORD);
      await assert.rejects(bodies(given, ["a", "c"]), OTHER_RECORD);
      given.change((rows) => [...rows, ...other]);
      await assert.rejects(bodies(given, ["a", "c"]), OTHER_RECORD);
    },
  },
  {
    title: "the row of another record is not taken for a record that is absent",
    run: async (given) => {
      await records(given);
      const other = await rowsOf(given, "b");
      given.change(() => other);
      await assert.rejects(given.store.read([requestOf("a").id]), OTHER_RECORD);
      await assert.rejects(bodies(given, ["new"]), OTHER_RECORD);
    },
  },
  {
    title: "the row of another record ends a transaction before its work begins",
    run: async (given) => {
      await records(given);
      const other = await rowsOf(given, "b");
      let hasWorked = false;
      const work = (): Completion => {
        hasWorked = true;
        throw new Error("The work has begun.");
      };
      given.change(() => other);
      await assert.rejects(given.store.transact(requestOf("new"), work), OTHER_RECORD);
      assert.equal(hasWorked, false);
    },
  },
  {
    title: "the row of another record decides nothing about a completion that was refused",
    run: async (given) => {
      const { c } = await records(given);
      const other = await rowsOf(given, "b");
      given.change(() => other);
      const stale = { ...c, token: c.token - 1, status: "succeeded", body: "stale" } as const;
      await assert.rejects(given.store.complete([stale]), OTHER_RECORD);
      given.change(asSent);
      assert.equal((await given.store.read([c.id]))[0]?.state, "in-progress");
    },
  },
];
