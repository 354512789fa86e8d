import { describe, expect, test } from "vitest";
import type { Context, OperationOptions, Resolution } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;
const never = () => new Promise<string>(() => undefined);

/** A run whose process dies inside a step. */
async function diesInside(fn: (context: Context) => Promise<unknown>, options = {}) {
  const shared = world({ steps: true, ...options });
  void shared.engine.execute("orders", "k", 1, fn as () => Promise<string>).catch(() => undefined);
  await settled();
  await settled();
  shared.wire.fail("renew", "hangs", 1_000);
  await shared.time.advance(LEASE_MS + 1);
  return shared;
}

const unknown = { reconcile: () => "still-unknown" as const };

/** Its step may have happened, and `reconcile` does not find out. */
async function inDoubt(options: OperationOptions = {}) {
  const shared = await diesInside(({ step }) => step("charge", never, unknown));
  const other = otherProcess(shared, { steps: true, settleAfterMs: 0, ...options });
  const retry = (fn: (context: Context) => unknown) =>
    other.engine.execute("orders", "k", 1, fn as () => string);
  return { shared, ...other, retry };
}

describe("a step in doubt", () => {
  test("keeps a function that swallows it from recording its value", async () => {
    const { engine, retry, events } = await inDoubt();
    const run = retry(async ({ step }) => {
      await step("charge", never, unknown).catch(() => undefined);
      return "ordered";
    });
    expect(await rejection(run)).toMatchObject({
      code: "OUTCOME_UNKNOWN",
      reason: "step-in-doubt",
      value: "ordered",
    });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
      steps: [{ name: "charge", state: "begun" }],
    });
    expect(events.at(-1)).toMatchObject({ name: "unknown", event: { reason: "step-in-doubt" } });
  });

  test("keeps one that never asks about it from recording its value", async () => {
    const { engine, retry } = await inDoubt();
    expect(await rejection(retry(() => "ordered"))).toMatchObject({ value: "ordered" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("keeps a claim of begin from being completed", async () => {
    const { engine } = await inDoubt();
    const begun = await engine.begin("orders", "k", 1);
    if (begun.kind !== "execute") throw new Error("expected a claim");
    expect(await rejection(begun.claim.complete(1))).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("keeps a claim of begin from being given back", async () => {
    const { engine, wire } = await inDoubt();
    const begun = await engine.begin("orders", "k", 1);
    if (begun.kind !== "execute") throw new Error("expected a claim");
    expect(await begun.claim.release()).toEqual({ recorded: false });
    expect(wire.count("release")).toBe(0);
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("does not count whose result was merely not kept", async () => {
    const shared = await diesInside(async ({ step }) => {
      await step("charge", () => ({ at: new Date(0) }) as unknown);
      return await never();
    });
    const { engine } = otherProcess(shared, { steps: true });
    const run = engine.execute("orders", "k", 1, async ({ step }) => {
      const error = await rejection(step("charge", never));
      return (error as { readonly code: string }).code;
    });
    expect(await run).toMatchObject({ value: "RESULT_UNAVAILABLE", recorded: true });
  });

  test("whose result was not kept fails nothing for good if its error is let through", async () => {
    const shared = await diesInside(async ({ step }) => {
      await step("charge", () => ({ at: new Date(0) }) as unknown);
      return await never();
    });
    const { engine } = otherProcess(shared, { steps: true });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", never));
    expect(await rejection(run)).toMatchObject({ code: "RESULT_UNAVAILABLE" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("is resolved by the function with its result", async () => {
    const { engine, retry } = await inDoubt();
    const run = retry(async ({ step, steps }) => {
      await step("charge", never, unknown).catch(() => undefined);
      await steps.resolve("charge", { happened: "seen in the ledger" });
      return await step("charge", never);
    });
    expect(await run).toMatchObject({ value: "seen in the ledger", recorded: true });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      steps: [{ name: "charge", state: "done", value: "seen in the ledger" }],
    });
  });

  test("is run again once the function resolves that it did not happen", async () => {
    const { retry } = await inDoubt();
    const run = retry(async ({ step, steps }) => {
      await step("charge", never, unknown).catch(() => undefined);
      await steps.resolve("charge", "did-not-happen");
      return await step("charge", () => "charged");
    });
    expect(await run).toMatchObject({ value: "charged" });
  });

  test("cannot be resolved by anything else, or if it is not in doubt", async () => {
    const { retry } = await inDoubt();
    const errors: unknown[] = [];
    const run = retry(async ({ step, steps }) => {
      for (const [name, resolution] of [
        ["charge", "still-unknown"],
        ["charge", undefined],
        ["mail", "did-not-happen"],
      ] as const) {
        errors.push(await rejection(steps.resolve(name, resolution as Resolution<never>)));
      }
      await step("mail", async () => {
        errors.push(await rejection(steps.resolve("mail", "did-not-happen")));
      });
      return "ordered";
    });
    expect(await rejection(run)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(errors).toMatchObject([
      { name: "TypeError" },
      { name: "TypeError" },
      { message: "steps.resolve: the step 'mail' is not in doubt." },
      { message: "steps.resolve: the step 'mail' is not in doubt." },
    ]);
  });

  test("can be resolved after an abort too, and then the value counts", async () => {
    const shared = world({ steps: true });
    const charge = gate<string>();
    const run = shared.engine.execute("orders", "k", 1, async ({ step, steps }) => {
      await step("charge", charge.fn).catch(() => undefined);
      await steps.resolve("charge", { happened: "seen in the ledger" });
      return "ordered";
    });
    await settled();
    await settled();
    const closed = shared.engine.close({ graceMs: 0 });
    await shared.time.advance(0);
    await closed;
    charge.fail(new Error("socket hang up"));
    expect(await run).toMatchObject({ value: "ordered", recorded: true });
  });
});

describe("a record released with a begun step", () => {
  const released = { as: "released", by: "ann", why: "let it run" } as const;

  async function releasedRecord() {
    const shared = await diesInside(({ step }) => step("charge", never));
    const { engine } = otherProcess(shared, { steps: true });
    await engine.settle("orders", "k", released);
    return { shared, engine };
  }

  test("keeps the step in doubt for the next run", async () => {
    const { engine } = await releasedRecord();
    const charge = gate<string>();
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", charge.fn));
    expect(await rejection(run)).toMatchObject({ reason: "step-in-doubt" });
    expect(charge.runs).toBe(0);
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed", attempt: 2 });
  });

  test("keeps it in doubt for a run without steps too", async () => {
    const { shared } = await releasedRecord();
    const { engine } = otherProcess(shared);
    const run = engine.execute("orders", "k", 1, () => "ordered");
    expect(await rejection(run)).toMatchObject({ value: "ordered", reason: "step-in-doubt" });
  });

  test("keeps it in doubt where onLapsed is a function: it was not asked", async () => {
    const { shared } = await releasedRecord();
    const { engine } = otherProcess(shared, { steps: true, onLapsed: () => "did-not-happen" });
    const charge = gate<string>();
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", charge.fn));
    expect(await rejection(run)).toMatchObject({
      reason: "step-in-doubt",
      message: expect.stringContaining("With `onLapsed: 'rerun'` a step without `reconcile` runs"),
    });
    expect(charge.runs).toBe(0);
  });

  test("runs it again under 'rerun'", async () => {
    const { shared } = await releasedRecord();
    const { engine } = otherProcess(shared, { steps: true, onLapsed: "rerun" });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", () => "charged"));
    expect(await run).toMatchObject({ value: "charged" });
  });

  test("reconciles it once settleAfterMs is over", async () => {
    const { shared, engine } = await releasedRecord();
    const asked: number[] = [];
    const reconcile = () => {
      asked.push(shared.time.clock());
      return { happened: "charged before" } as const;
    };
    const run = engine.execute("orders", "k", 1, ({ step }) =>
      step("charge", never, { reconcile }),
    );
    const releasedAt = shared.time.clock();
    await shared.time.advance(LEASE_MS);
    expect(await run).toMatchObject({ value: "charged before" });
    expect(asked).toEqual([releasedAt + LEASE_MS]);
  });
});

describe("settleAfterMs", () => {
  const found = { reconcile: () => ({ happened: "charged before" }) as const };

  async function diedReconcilable() {
    return await diesInside(({ step }) => step("charge", never, unknown));
  }

  test("keeps a step's reconcile from being asked until a lease after the lease", async () => {
    const shared = await diedReconcilable();
    const { engine, wire } = otherProcess(shared, { steps: true });
    const run = () => engine.execute("orders", "k", 1, ({ step }) => step("charge", never, found));
    expect(await rejection(run())).toMatchObject({ code: "IN_PROGRESS", retryAfterMs: 1_000 });
    await shared.time.advance(LEASE_MS - 2);
    expect(await rejection(run())).toMatchObject({ code: "IN_PROGRESS" });
    await shared.time.advance(2);
    expect(await run()).toMatchObject({ value: "charged before", attempt: 2 });
    expect(wire.count("renew")).toBe(1);
  });

  test("is waited for by a duplicate that waits, without a stream of questions", async () => {
    const shared = await diedReconcilable();
    const { engine, wire } = otherProcess(shared, {
      steps: true,
      onDuplicate: { waitMs: 60_000 },
    });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", never, found));
    await shared.time.advance(40_000);
    expect(await run).toMatchObject({ value: "charged before" });
    expect(wire.count("claim")).toBeLessThan(20);
  });

  test("does not hold up work whose steps are all done", async () => {
    const shared = await diesInside(async ({ step }) => {
      await step("charge", () => "charged");
      return await never();
    });
    const { engine } = otherProcess(shared, { steps: true });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", never));
    expect(await run).toMatchObject({ value: "charged" });
  });

  test("keeps an onLapsed function from being asked, and may be shorter", async () => {
    const shared = world();
    void shared.engine.execute("orders", "k", 1, never).catch(() => undefined);
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(LEASE_MS + 1);
    let asked = 0;
    const onLapsed = () => {
      asked += 1;
      return { happened: "found" };
    };
    const { engine } = otherProcess(shared, { onLapsed, settleAfterMs: 5_000 });
    const run = () => engine.execute("orders", "k", 1, () => "again");
    expect(await rejection(run())).toMatchObject({
      code: "IN_PROGRESS",
      message: expect.stringContaining("or was interrupted and cannot be decided yet. Retry"),
      retryAfterMs: 500,
    });
    expect(asked).toBe(0);
    await shared.time.advance(5_000);
    expect(await run()).toMatchObject({ value: "found", replayed: true });
  });

  test("does not hold up 'rerun', but for a step that has to be reconciled", async () => {
    const rerun = { guarantee: "at-least-once", steps: true } as const;
    const plain = await diesInside(({ step }) => step("charge", never));
    const again = otherProcess(plain, rerun).engine.execute("orders", "k", 1, ({ step }) =>
      step("charge", () => "charged"),
    );
    expect(await again).toMatchObject({ value: "charged" });
    const shared = await diedReconcilable();
    const { engine } = otherProcess(shared, rerun);
    const run = () => engine.execute("orders", "k", 1, ({ step }) => step("charge", never, found));
    expect(await rejection(run())).toMatchObject({ code: "IN_PROGRESS" });
    await shared.time.advance(LEASE_MS);
    expect(await run()).toMatchObject({ value: "charged before" });
  });

  test("is waited for inside the run if the code learned to reconcile meanwhile", async () => {
    const shared = await diesInside(({ step }) => step("charge", never));
    const { engine } = otherProcess(shared, { guarantee: "at-least-once", steps: true });
    const tookOverAt = shared.time.clock();
    let askedAt = 0;
    const reconcile = () => {
      askedAt = shared.time.clock();
      return { happened: "charged before" } as const;
    };
    const run = engine.execute("orders", "k", 1, ({ step }) =>
      step("charge", never, { reconcile }),
    );
    await shared.time.advance(2 * LEASE_MS);
    expect(await run).toMatchObject({ value: "charged before" });
    expect(askedAt - tookOverAt).toBe(LEASE_MS);
  });

  test("of another payload is a conflict at once", async () => {
    const shared = await diedReconcilable();
    const { engine } = otherProcess(shared, { steps: true });
    const run = engine.execute("orders", "k", 2, () => "other");
    expect(await rejection(run)).toMatchObject({ code: "PAYLOAD_CONFLICT" });
  });
});

describe("'default' as an option's value", () => {
  test("restores each policy's default, and undefined keeps the parent's", async () => {
    const parent = {
      guarantee: "at-least-once",
      onError: "hold",
      onLapsed: "block",
      onDuplicate: { waitMs: 1_000 },
      settleAfterMs: 1,
      maxRunMs: 100,
    } as const;
    const restored = Object.fromEntries(Object.keys(parent).map((name) => [name, "default"]));
    const kept = Object.fromEntries(Object.keys(parent).map((name) => [name, undefined]));
    const { engine } = world(parent);
    const boom = () => {
      throw new Error("boom");
    };
    await rejection(engine.with(kept).execute("orders", "kept", 1, boom));
    expect(await engine.inspect("orders", "kept")).toMatchObject({ state: "unknown" });
    await rejection(engine.with(restored).execute("orders", "restored", 1, boom));
    expect(await engine.inspect("orders", "restored")).toMatchObject({ status: "failed" });
    const again = engine.with(restored).execute("orders", "restored", 1, boom);
    expect(await rejection(again)).toMatchObject({ code: "REPLAYED_FAILURE" });
  });

  test("restores what onLapsed does by default under each guarantee", async () => {
    for (const [guarantee, code] of [
      ["at-most-once", "OUTCOME_UNKNOWN"],
      ["at-least-once", undefined],
    ] as const) {
      const shared = await diesInside(never, { steps: false });
      const { engine } = otherProcess(shared, { onLapsed: "block", guarantee });
      const run = engine
        .with({ onLapsed: "default" })
        .execute("orders", "k", 1, () => "again")
        .catch((error: unknown) => error);
      expect(await run).toMatchObject(code === undefined ? { value: "again" } : { code });
    }
  });

  test("is refused where an option has no policy to restore", () => {
    const { engine } = world();
    expect(() => engine.with({ leaseMs: "default" as unknown as number })).toThrow(TypeError);
  });

  test("'resume' needs steps: true", () => {
    expect(() => world({ onLapsed: "resume" })).toThrow("onLapsed: 'resume' needs `steps: true`");
    const { engine } = world({ onLapsed: "resume", steps: true });
    expect(() => engine.with({ steps: false })).toThrow("onLapsed: 'resume' needs `steps: true`");
  });
});
