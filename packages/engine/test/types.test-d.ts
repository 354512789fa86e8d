import { describe, expectTypeOf, test } from "vitest";
import {
  createEngine,
  type Engine,
  memoryStore,
  type Outcome,
  type Replayed,
  type TransactionalStore,
  type Verdict,
} from "../src/index.ts";

const engine: Engine = createEngine({ store: memoryStore() });

interface Order {
  readonly sku: string;
  readonly note?: string | undefined;
  readonly lines: readonly { readonly quantity: number }[];
}
declare const order: Order;
declare const anything: unknown;
type OrderId = string & { readonly __brand: "OrderId" };
type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
declare const json: Json;
declare const optional: { readonly a: number } | undefined;
type Tree = { readonly children: readonly Tree[] };

describe("execute", () => {
  test("infers the result from the function", () => {
    expectTypeOf(engine.execute("s", "k", order, () => ({ id: 1 }))).toEqualTypeOf<
      Promise<Outcome<{ id: number }>>
    >();
    expectTypeOf(engine.execute("s", "k", null, async () => "id" as OrderId)).toEqualTypeOf<
      Promise<Outcome<OrderId>>
    >();
    expectTypeOf(engine.execute("s", "k", null, async () => order)).toEqualTypeOf<
      Promise<Outcome<Order>>
    >();
    expectTypeOf(engine.execute("s", "k", null, async () => json)).toEqualTypeOf<
      Promise<Outcome<Json>>
    >();
    expectTypeOf(engine.execute("s", "k", null, () => undefined)).toEqualTypeOf<
      Promise<Outcome<undefined>>
    >();
    expectTypeOf(engine.execute("s", "k", null, async () => {})).toEqualTypeOf<
      Promise<Outcome<void>>
    >();
    expectTypeOf(engine.execute("s", "k", null, () => anything)).toEqualTypeOf<
      Promise<Outcome<unknown>>
    >();
  });

  test("takes payloads that JSON can carry, text and bytes", () => {
    void engine.execute("s", "k", { a: [1, { b: null }] }, () => 1);
    void engine.execute("s", "k", [1, 2] as const, () => 1);
    void engine.execute("s", "k", "text", () => 1);
    void engine.execute("s", "k", new Uint8Array(), () => 1);
    void engine.execute("s", "k", Buffer.from(""), () => 1);
    void engine.execute("s", "k", {} as Tree, () => 1);
    void engine.execute("s", "k", {} as Record<string, number>, () => 1);
    void engine.execute("s", "k", json, () => 1);
    void engine.execute("s", "k", { id: "1", body: json }, () => 1);
    void engine.execute("s", "k", anything, () => 1);
    void engine.execute("s", "k", JSON.parse("{}"), () => 1);
    void engine.execute(["tenant", "user"], "k", null, () => 1);
  });

  test("takes functions with more than one return", () => {
    const run = (isFast: boolean) =>
      engine.execute("s", "k", null, async () => {
        if (isFast) return { kind: "fast" as const };
        return { kind: "slow" as const, ms: 1 };
      });
    expectTypeOf<Awaited<ReturnType<typeof run>>["value"]["kind"]>().toEqualTypeOf<
      "fast" | "slow"
    >();
  });

  test("works in generic code", () => {
    const once = <T extends { readonly id: string }>(fn: () => Promise<T>) =>
      engine.execute("s", "k", null, fn as () => Promise<never>) as Promise<Outcome<T>>;
    expectTypeOf(once(async () => ({ id: "1" }))).toEqualTypeOf<Promise<Outcome<{ id: string }>>>();
  });

  test("refuses payloads that JSON would change or lose", () => {
    // @ts-expect-error: a Date
    void engine.execute("s", "k", { at: new Date() }, () => 1);
    // @ts-expect-error: a BigInt
    void engine.execute("s", "k", { amount: 1n }, () => 1);
    // @ts-expect-error: a Map
    void engine.execute("s", "k", new Map<string, string>(), () => 1);
    // @ts-expect-error: a function inside
    void engine.execute("s", "k", { lines: [{ go: () => 1 }] }, () => 1);
    // @ts-expect-error: a promise that was not awaited
    void engine.execute("s", "k", Promise.resolve({ a: 1 }), () => 1);
    // @ts-expect-error: nothing, where null is meant
    void engine.execute("s", "k", undefined, () => 1);
    // @ts-expect-error: perhaps nothing
    void engine.execute("s", "k", optional, () => 1);
    // @ts-expect-error: undefined in a list
    void engine.execute("s", "k", [1, undefined], () => 1);
    // @ts-expect-error: a symbol
    void engine.execute("s", "k", Symbol("s"), () => 1);
  });

  test("refuses results that JSON would change or lose", () => {
    // @ts-expect-error: a Date
    void engine.execute("s", "k", null, () => ({ at: new Date() }));
    // @ts-expect-error: a BigInt
    void engine.execute("s", "k", null, async () => ({ total: 1n }));
    // @ts-expect-error: a Set
    void engine.execute("s", "k", null, async () => new Set([1]));
    // @ts-expect-error: bytes
    void engine.execute("s", "k", null, async () => new Uint8Array());
  });

  test("refuses options that are none", () => {
    // @ts-expect-error: no such guarantee
    void engine.execute("s", "k", null, () => 1, { guarantee: "exactly-once" });
    // @ts-expect-error: no such option
    void engine.execute("s", "k", null, () => 1, { lease: 1 });
    // @ts-expect-error: a signal is for one call
    void engine.with({ signal: new AbortController().signal });
    // @ts-expect-error: the policy for errors is the caller's own in begin
    void engine.begin("s", "k", null, { onError: "release" });
    // @ts-expect-error: a scope is required
    void engine.execute(undefined, "k", null, () => 1);
  });
});

describe("an outcome", () => {
  test("has the times of completion and of expiry where it was replayed", () => {
    const outcome = {} as Outcome<number>;
    expectTypeOf(outcome.completedAt).toEqualTypeOf<number | undefined>();
    if (outcome.replayed) {
      expectTypeOf(outcome).toEqualTypeOf<Replayed<number>>();
      expectTypeOf(outcome.completedAt).toEqualTypeOf<number>();
      expectTypeOf(outcome.expiresAt).toEqualTypeOf<number>();
      expectTypeOf(outcome.recorded).toEqualTypeOf<true>();
    }
  });
});

describe("begin", () => {
  test("gives a claim or a replay", async () => {
    const begun = await engine.begin("s", "k", null);
    if (begun.kind === "replay") expectTypeOf(begun.value).toEqualTypeOf<unknown>();
    else expectTypeOf(begun.claim.complete).parameter(0).toEqualTypeOf<unknown>();
  });
});

describe("settle", () => {
  test("wants to know who and why", () => {
    void engine.settle("s", "k", { as: "released", by: "ann", why: "nothing happened" });
    // @ts-expect-error: who decides, and why?
    void engine.settle("s", "k", { as: "released" });
    // @ts-expect-error: a failure has an error
    void engine.settle("s", "k", { as: "failed", by: "ann", why: "declined" });
  });
});

describe("an engine on a store with transactions", () => {
  interface Connection {
    readonly write: (text: string) => Promise<void>;
  }
  const later = createEngine({ store: {} as TransactionalStore<Connection, false> });
  const now = createEngine({ store: {} as TransactionalStore<Connection, true> });

  test("hands over the driver's own transaction", () => {
    void later.transaction("s", "k", null, async (tx, { token }) => {
      expectTypeOf(tx).toEqualTypeOf<Connection>();
      expectTypeOf(token).toEqualTypeOf<number>();
      return { id: 1 };
    });
    void later.execute("s", "k", null, ({ transaction }) => transaction(async () => 1));
    const run = now.transaction("s", "k", null, () => ({ id: 1 }));
    expectTypeOf(run).resolves.toMatchTypeOf<{ value: { id: number } }>();
    // @ts-expect-error: its transactions end in the turn that began them
    void now.transaction("s", "k", null, async () => 1);
    // @ts-expect-error: JSON loses a Map
    void later.transaction("s", "k", null, () => new Map());
    expectTypeOf(later.with({})).toEqualTypeOf(later);
  });

  test("is another one than that on a store without", () => {
    // @ts-expect-error: the memory store has no transactions
    void engine.transaction;
    // @ts-expect-error: nor has the context of its functions
    void engine.execute("s", "k", null, ({ transaction }) => transaction);
  });
});

describe("steps and batches", () => {
  test("keep what JSON can carry", () => {
    void engine.execute("s", "k", null, async ({ step }) => {
      expectTypeOf(await step("a", () => ({ id: 1 }))).toEqualTypeOf<{ id: number }>();
      void step("b", () => 1, { reconcile: () => ({ happened: 2 }) });
      // @ts-expect-error: it found another result than the step has
      void step("c", () => 1, { reconcile: () => ({ happened: "two" }) });
      // @ts-expect-error: a look-up that found nothing is no result of this step
      void step("e", () => ({ id: 1 }), { reconcile: () => ({ happened: undefined }) });
      const found = new Map<string, { readonly id: number }>();
      // @ts-expect-error: perhaps nothing was found
      void step("f", () => ({ id: 1 }), { reconcile: async () => ({ happened: found.get("f") }) });
      void step("g", async () => {}, { reconcile: () => ({ happened: undefined }) });
      // @ts-expect-error: JSON loses a Date
      void step("d", () => new Date());
    });
    const verdicts = engine.executeMany("s", [{ key: "k", payload: 1 }], (lines) =>
      lines.map(({ key, payload }) => ({ key, value: payload + 1 })),
    );
    expectTypeOf(verdicts).resolves.toEqualTypeOf<readonly Verdict<number>[]>();
    // @ts-expect-error: a result has a key
    void engine.executeMany("s", [{ key: "k", payload: 1 }], () => [{ value: 1 }]);
  });
});
