import { describe, expect, test } from "vitest";
import {
  type CallOptions,
  type Claimed,
  type Completion,
  createEngine,
  type Store,
  type Transacted,
  type TransactionalStore,
} from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;
const STORE_TIMEOUT_MS = 5_000;

type Transact = TransactionalStore<undefined, false>["transact"];

/** Claims, works and completes, one after the other. What a database makes of it is tested there. */
function transactOn(store: Store): Transact {
  return async (request, work, { onError } = {}) => {
    const [answer] = await store.claim([request]);
    if (answer?.outcome !== "claimed") return answer as Transacted;
    const completion = await attempted(async () => await work(undefined, answer), answer, onError);
    await store.complete([completion]);
    return answer;
  };
}

async function attempted(
  work: () => Promise<Completion>,
  claimed: Claimed,
  onError: ((error: unknown, claimed: Claimed) => Completion | undefined) | undefined,
): Promise<Completion> {
  try {
    return await work();
  } catch (error) {
    const completion = onError?.(error, claimed);
    if (completion === undefined) throw error;
    return completion;
  }
}

/** An engine whose store has transactions, of which the test says what becomes. */
function transacting(change: (plain: Transact) => Transact = (plain) => plain) {
  const shared = world();
  const transact = change(transactOn(shared.wire.store));
  const store = Object.assign(shared.wire.store, { transact, bind: () => expect.unreachable() });
  const engine = createEngine({
    store: store as TransactionalStore<undefined, false>,
    runtime: shared.time.runtime,
  });
  const run = (value: number, options?: CallOptions) =>
    engine.transaction("orders", "k", 1, () => value, options);
  return { ...shared, engine, run };
}

describe("a transaction", () => {
  test("that nobody wants any more when it is granted records nothing of that", async () => {
    const caller = new AbortController();
    const { run, engine } = transacting((plain) => async (...given) => {
      caller.abort(new Error("the caller has left"));
      return await plain(...given);
    });
    const unwanted = run(1, { onError: "record", signal: caller.signal });
    expect(await rejection(unwanted)).toBe(caller.signal.reason);
    expect(await engine.inspect("orders", "k")).not.toMatchObject({ status: "failed" });
  });

  test("that shares its claim fails for other callers with a StoreError, not with the driver's error", async () => {
    const { run, engine } = transacting(() => async () => {
      throw new Error("connection reset (row of a customer)");
    });
    const transaction = rejection(run(1));
    const duplicate = rejection(engine.execute("orders", "k", 1, () => 2));
    expect(await transaction).toMatchObject({ code: "STORE_FAILED", operation: "transact" });
    expect(await duplicate).toMatchObject({ code: "STORE_FAILED", operation: "transact" });
  });

  test("whose caller leaves before it is granted does not end the calls that share its claim", async () => {
    const caller = new AbortController();
    const { run, engine } = transacting(() => async (_request, work) => {
      caller.abort(new Error("the caller has left"));
      const claimed = { outcome: "claimed", token: 1, attempt: 1, takenOver: false, createdAt: 0 };
      await work(undefined, claimed as Claimed);
      return expect.unreachable();
    });
    const transaction = rejection(run(1, { signal: caller.signal }));
    const duplicate = engine.execute("orders", "k", 1, () => 2);
    expect(await transaction).toBe(caller.signal.reason);
    expect(await duplicate).toMatchObject({ value: 2, replayed: false });
  });

  test("is not taken for committed where an operator has decided in its owner's name", async () => {
    const shared = transacting((plain) => async (request, work, options) => {
      const granted = await plain(request, work, options);
      // The commit was lost, its record was settled, and the next round finds that.
      return {
        ...{ outcome: "completed", status: "failed", body: 'error:{"thrown":"settled"}' },
        ...{ fingerprint: request.fingerprint, owner: request.owner, token: 1, attempt: 1 },
        ...{
          createdAt: 0,
          completedAt: 0,
          expiresAt: 1,
          ageMs: granted.outcome === "claimed" ? 0 : 1,
        },
      } as Transacted;
    });
    expect(await shared.run(7)).toMatchObject({ value: 7, replayed: true });
  });

  test("tells all callers at once that somebody else holds the record", async () => {
    let asked = 0;
    const { run, time } = transacting(() => async () => {
      asked += 1;
      await new Promise<void>((resolve) => {
        time.runtime.schedule(resolve, 1_000);
      });
      return { outcome: "blocked" };
    });
    const calls = Array.from({ length: 10 }, () => rejection(run(1)));
    await time.advance(1_000);
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: "IN_PROGRESS" });
    }
    expect(asked).toBe(1);
  });

  test("that does not end in time is not run again behind the back of its caller", async () => {
    let late: () => unknown = () => undefined;
    const { run, time } = transacting(() => async (request, work) => {
      const claimed = { outcome: "claimed", token: 1, attempt: 1, takenOver: false, createdAt: 0 };
      await work(undefined, claimed as Claimed);
      late = () => work(undefined, { ...(claimed as Claimed), token: 2 });
      return await new Promise<Transacted>(() => void request);
    });
    const called = rejection(run(1));
    await time.advance(STORE_TIMEOUT_MS);
    expect(await called).toMatchObject({
      code: "STORE_FAILED",
      operation: "transact",
      cause: { code: "COMMIT_UNCLEAR" },
    });
    expect(late).toThrow(/Nobody waits/);
  });

  test("that gets no connection in time fails, and its work does not run late", async () => {
    let late: () => Promise<unknown> = async () => undefined;
    const { engine, time } = transacting((plain) => (...given) => {
      late = () => plain(...given);
      return new Promise(() => undefined);
    });
    let runs = 0;
    const called = rejection(
      engine.transaction("orders", "k", 1, () => {
        runs += 1;
        return 1;
      }),
    );
    await time.advance(STORE_TIMEOUT_MS);
    expect(await called).toMatchObject({ code: "STORE_FAILED" });
    await rejection(late());
    expect(runs).toBe(0);
  });
});

test("a transaction that has waited tells how long it waited, and not how long it worked", async () => {
  let isBlocked = true;
  const { engine, time } = transacting((plain) => async (...given) => {
    return isBlocked ? { outcome: "blocked" } : await plain(...given);
  });
  const work = gate<number>();
  const options = { onDuplicate: { waitMs: 10_000 } };
  const run = engine.transaction("orders", "k", 1, work.fn, options);
  const waited: number[] = [];
  engine.on("waited", ({ waitedMs }) => waited.push(waitedMs));
  await time.advance(200);
  isBlocked = false;
  await time.advance(9_000);
  work.open(1);
  await time.advance(1);
  expect(await run).toMatchObject({ value: 1 });
  expect(waited).toEqual([250]);
});

describe("a transaction under a claim", () => {
  const failing = (): Transact => async () => {
    throw Object.assign(new Error("no connection"), { code: "ECONNREFUSED" });
  };

  test("that fails again and again loses no renewal", async () => {
    const { engine, time, wire } = transacting(failing);
    const run = engine.execute("orders", "k", 1, async ({ transaction, signal }) => {
      for (let index = 0; index < 20; index += 1) {
        await rejection(transaction(() => 1));
        await new Promise<void>((resolve) => {
          time.runtime.schedule(resolve, LEASE_MS / 5);
        });
      }
      return signal.aborted;
    });
    await time.advance(LEASE_MS * 5);
    expect(await run).toMatchObject({ value: false, recorded: true });
    expect(wire.count("renew")).toBeGreaterThan(8);
  });

  test("that was rolled back is renewed as if it had not been", async () => {
    const { engine, time, wire } = transacting();
    const work = gate<number>();
    const run = engine.execute("orders", "k", 1, async ({ transaction }) => {
      await rejection(transaction(work.fn));
      return "after";
    });
    await time.advance(LEASE_MS / 2);
    expect(wire.count("renew")).toBe(0);
    work.fail(new Error("declined"));
    await time.advance(1);
    expect(await run).toMatchObject({ value: "after" });
  });

  test("that gets no connection in time fails, and the claim is renewed meanwhile", async () => {
    const { engine, time, wire } = transacting(() => () => new Promise(() => undefined));
    const run = engine.execute("orders", "k", 1, async ({ transaction }) => {
      const error = await rejection(transaction(() => 1));
      return (error as { readonly code: string }).code;
    });
    await time.advance(STORE_TIMEOUT_MS);
    expect(await run).toMatchObject({ value: "STORE_FAILED" });
    expect(wire.count("renew")).toBe(0);
  });

  test("that fails after its engine was closed renews nothing", async () => {
    let fail: (error: Error) => void = () => undefined;
    const { engine, time, wire } = transacting(() => async (request, work) => {
      const [claimed] = await wire.store.claim([request]);
      void (await work(undefined, claimed as Claimed));
      return await new Promise((_, reject) => {
        fail = reject;
      });
    });
    const run = engine.execute("orders", "k", 1, async ({ transaction }) => {
      await rejection(transaction(() => 1));
      return await new Promise<never>(() => undefined);
    });
    run.catch(() => undefined);
    await settled();
    const closing = engine.close({ graceMs: 0 });
    await time.advance(1);
    await closing;
    fail(new Error("reset"));
    await time.advance(LEASE_MS * 3);
    expect(wire.count("renew")).toBe(0);
    expect(time.timers).toBe(0);
  });

  test("that the database failed to run is no failure of the work: the claim lapses", async () => {
    const shared = transacting(failing);
    const run = shared.engine.execute("orders", "k", 1, ({ transaction }) => transaction(() => 1));
    expect(await rejection(run)).toMatchObject({ code: "STORE_FAILED", operation: "transact" });
    expect(await shared.engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    const { engine } = otherProcess(shared);
    const retry = engine.execute("orders", "k", 1, () => 2);
    expect(await rejection(retry)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
  });

  test("that runs for longer than maxRunMs has its signal aborted", async () => {
    const { engine, time } = transacting();
    const run = engine.execute(
      "orders",
      "k",
      1,
      async ({ transaction, signal }) =>
        await transaction(
          () =>
            new Promise<never>((_resolve, reject) => {
              signal.addEventListener("abort", () => reject(signal.reason));
            }),
        ),
      { maxRunMs: 5_000 },
    );
    const rejected = rejection(run);
    await time.advance(5_000);
    expect(await rejected).toMatchObject({ code: "RUN_ABORTED", reason: "ran-too-long" });
    expect(time.timers).toBe(0);
  });

  test("that the database failed to run is one where an onError function says so", async () => {
    const { engine } = transacting(failing);
    const options = { onError: () => "record" as const };
    const run = engine.execute(
      "orders",
      "k",
      1,
      ({ transaction }) => transaction(() => 1),
      options,
    );
    expect(await rejection(run)).toMatchObject({ code: "STORE_FAILED" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ status: "failed" });
  });
});

test("a store without transactions is told apart from one that has failed", async () => {
  const { engine } = world();
  const { transaction } = engine as unknown as ReturnType<typeof transacting>["engine"];
  const without = { name: "TypeError", message: expect.stringContaining("has no transactions") };
  const whole = transaction.call(engine, "orders", "k", 1, () => 1);
  expect(await rejection(whole)).toMatchObject(without);
  const inside = engine.execute("orders", "k", 1, (context) =>
    (context as unknown as { transaction(work: () => number): Promise<number> }).transaction(
      () => 1,
    ),
  );
  expect(await rejection(inside)).toMatchObject(without);
});

describe("a transaction when the engine aborts its work", () => {
  const hanging = (signal: AbortSignal) =>
    new Promise<number>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });

  for (const [options, state] of [
    [{ onError: "record" }, "unknown"],
    [{ onError: () => "record" as const }, "completed"],
    [{ onError: "hold" }, "unknown"],
  ] as const) {
    const what = typeof options.onError === "string" ? options.onError : "a function";
    test(`leaves the outcome ${state} where onError is ${what}`, async () => {
      const { engine, time, memory } = transacting();
      const run = rejection(
        engine.transaction("orders", "k", 1, (_tx, { signal }) => hanging(signal), options),
      );
      await settled();
      const closed = engine.close({ graceMs: 0 });
      await time.advance(0);
      await closed;
      expect(await run).toMatchObject({ code: "RUN_ABORTED", reason: "engine-closed" });
      const { engine: other } = otherProcess({ time, memory });
      expect(await other.inspect("orders", "k")).toMatchObject({ state });
    });
  }

  test("aborts it after maxRunMs", async () => {
    const { engine, time, events } = transacting();
    const run = rejection(
      engine.transaction("orders", "k", 1, (_tx, { signal }) => hanging(signal), {
        onError: "record",
        maxRunMs: 100,
      }),
    );
    await time.advance(100);
    expect(await run).toMatchObject({ code: "RUN_ABORTED", reason: "ran-too-long" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "unknown" });
    expect(events).toEqual([]);
  });
});

describe("a transaction under a claim", () => {
  test("refuses before its work begins while a step is in doubt", async () => {
    const { engine, time, memory } = transacting();
    void engine
      .execute("orders", "k", 1, ({ step }) => step("charge", () => new Promise(() => undefined)), {
        steps: true,
        maxRunMs: 100,
      })
      .catch(() => undefined);
    await settled();
    await settled();
    await time.advance(LEASE_MS + 100);
    const decision = { as: "released", by: "ann", why: "let it run" } as const;
    await engine.settle("orders", "k", decision);
    let runs = 0;
    const again = engine.execute(
      "orders",
      "k",
      1,
      async ({ step, transaction }) => {
        await step("charge", () => 1).catch(() => undefined);
        return await transaction(() => {
          runs += 1;
          return runs;
        });
      },
      { steps: true },
    );
    expect(await rejection(again)).toMatchObject({ reason: "step-in-doubt" });
    expect(runs).toBe(0);
    expect(await otherProcess({ time, memory }).engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
    });
  });
});
