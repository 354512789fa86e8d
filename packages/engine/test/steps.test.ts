import { describe, expect, test } from "vitest";
import type { Context, Engine, LapsedPolicy, OperationOptions, Renewal } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

/** What happened outside, in order. */
function effects() {
  const done: string[] = [];
  const of = (name: string) => () => {
    done.push(name);
    return name;
  };
  return { done, of };
}

/** A run whose process dies inside a step: it never ends, and no renewal of it gets through. */
async function diesInside(
  shared: ReturnType<typeof world>,
  fn: (context: Context) => Promise<string>,
): Promise<void> {
  void shared.engine.execute("orders", "k", 1, fn).catch(() => undefined);
  await settled();
  await settled();
  shared.wire.fail("renew", "hangs", 1_000);
  await shared.time.advance(LEASE_MS + 1);
}

const never = () => new Promise<string>(() => undefined);

describe("a step", () => {
  test("gives its function's result", async () => {
    const { engine } = world({ steps: true });
    const { value } = await engine.execute("orders", "k", 1, async ({ step }) => {
      const stock = await step("reserve", () => ({ left: 3 }));
      return stock.left + (await step("charge", async () => 4));
    });
    expect(value).toBe(7);
  });

  test("that is done is skipped by another run, and gives its result again", async () => {
    const { engine } = world({ steps: true, guarantee: "at-least-once" });
    const { done, of } = effects();
    const run = (mail: () => string) =>
      engine.execute("orders", "k", 1, async ({ step, attempt }) => {
        const names = [await step("reserve", of("reserve")), await step("charge", of("charge"))];
        return [...names, await step("mail", mail), attempt] as unknown[];
      });
    const fault = new Error("no mail today");
    const failing = () => {
      throw fault;
    };
    expect(await rejection(run(failing))).toBe(fault);
    expect(await rejection(run(failing))).toBe(fault);
    expect((await run(of("mail"))).value).toEqual(["reserve", "charge", "mail", 3]);
    expect(done).toEqual(["reserve", "charge", "mail"]);
  });

  test("keeps undefined, null, and what JSON can carry", async () => {
    const { engine } = world({ steps: true, onError: "release" });
    const values = { u: undefined, n: null, z: -0, t: "\u0000\ud800", o: { a: [1] } };
    const run = (isLast: boolean) =>
      engine.execute("orders", "k", 1, async ({ step }) => {
        const kept: unknown[] = [];
        for (const [name, value] of Object.entries(values)) {
          kept.push((await step(name, () => (isLast ? "other" : (value as unknown)))) ?? null);
        }
        if (!isLast) throw new Error("again");
        return kept;
      });
    await rejection(run(false));
    await run(true);
    const record = await engine.inspect("orders", "k");
    expect(record?.value).toStrictEqual(Object.values(values).map((value) => value ?? null));
  });

  test("is marked before it starts and kept when it is over, two writes in all", async () => {
    const { engine, wire } = world({ steps: true });
    const inside: number[] = [];
    await engine.execute("orders", "k", 1, async ({ step }) => {
      await step("one", () => inside.push(wire.count("renew")));
      await step("two", () => inside.push(wire.count("renew")));
    });
    expect(inside).toEqual([1, 3]);
    expect(wire.count("renew")).toBe(4);
  });

  test("shares its writes with those beside it", async () => {
    const { engine, wire } = world({ steps: true });
    await engine.execute("orders", "k", 1, async ({ step }) => {
      const steps = Array.from({ length: 100 }, (_, index) => step(`s${index}`, () => index));
      await Promise.all(steps);
    });
    expect(wire.count("renew")).toBeLessThanOrEqual(6);
  });

  test("renews the lease with its write", async () => {
    const { engine, wire, time } = world({ steps: true });
    const run = engine.execute("orders", "k", 1, async ({ step }) => {
      for (let index = 0; index < 10; index += 1) {
        await step(`s${index}`, () => {
          time.runtime.schedule(() => undefined, 0);
          return new Promise<void>((resolve) => {
            time.runtime.schedule(resolve, LEASE_MS / 4);
          });
        });
      }
    });
    await time.advance(LEASE_MS * 3);
    await run;
    expect(wire.count("renew")).toBe(20);
  });

  test("refuses a name that was used in this run, and wrong arguments, and runs nothing", async () => {
    const { engine } = world({ steps: true });
    const { done, of } = effects();
    await engine.execute("orders", "k", 1, async ({ step }) => {
      await step("charge", of("charge"));
      const wrong = (...args: unknown[]) =>
        rejection((step as (...all: unknown[]) => Promise<unknown>)(...args));
      expect(await wrong("charge", of("x"))).toMatchObject({
        message: "step: there was a step 'charge' in this run. Each needs a name of its own.",
      });
      expect(await wrong("", of("x"))).toBeInstanceOf(TypeError);
      expect(await wrong("é".repeat(128), of("x"))).toBeInstanceOf(TypeError);
      expect(await wrong("a", "b")).toMatchObject({
        message: "step: expected a function after the name, got a string of 1 characters.",
      });
      expect(await wrong("a", of("x"), { reconsile: of("x") })).toBeInstanceOf(TypeError);
      expect(await wrong("a", of("x"), { reconcile: true })).toBeInstanceOf(TypeError);
      expect(await wrong("a", of("x"), null)).toBeInstanceOf(TypeError);
    });
    expect(done).toEqual(["charge"]);
  });

  test("needs the option, and says so", async () => {
    const { engine } = world();
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", () => 1));
    expect(await rejection(run)).toMatchObject({
      message: "step: expected the option `steps: true`, of the engine or of this call.",
    });
  });

  test("holds the operation's end until it is over, awaited or not", async () => {
    const shared = world({ steps: true });
    const mail = gate<number>();
    const run = shared.engine.execute("orders", "k", 1, ({ step }) => {
      void step("mail", mail.fn);
      return "ordered";
    });
    await settled();
    expect(shared.wire.count("complete")).toBe(0);
    mail.open(1);
    expect(await run).toMatchObject({ value: "ordered", recorded: true });
  });

  test("that is still running when another one throws is waited for before the key is given back", async () => {
    const shared = world({ steps: true, guarantee: "at-least-once" });
    const slow = gate<string>();
    const run = (fast: () => string) =>
      shared.engine.execute("orders", "k", 1, ({ step }) =>
        Promise.all([step("slow", slow.fn), step("fast", fast)]),
      );
    const first = run(() => {
      throw new Error("too fast");
    });
    await settled();
    expect(shared.wire.count("release")).toBe(0);
    slow.open("slow");
    await rejection(first);
    await run(() => "fast");
    expect(slow.runs).toBe(1);
  });

  test("cannot begin once the operation is over", async () => {
    const { engine } = world({ steps: true });
    let late: Context | undefined;
    await engine.execute("orders", "k", 1, (context) => {
      late = context;
    });
    expect(await rejection(late?.step("late", () => 1) ?? never())).toMatchObject({
      message: "step(): this claim was ended by complete() already.",
    });
  });
});

describe("work that was abandoned", () => {
  const twoSteps =
    (of: (name: string) => () => string, last: () => string | Promise<string>) =>
    async ({ step }: Context) => {
      await step("reserve", of("reserve"));
      return await step("charge", last);
    };

  async function retry(
    shared: ReturnType<typeof world>,
    fn: (context: Context) => Promise<string>,
    options: OperationOptions = {},
  ) {
    const { engine } = otherProcess(shared, { steps: true, settleAfterMs: 0, ...options });
    return { engine, again: engine.execute("orders", "k", 1, fn) };
  }

  test("between two steps is resumed under at-most-once", async () => {
    const shared = world({ steps: true });
    const { done, of } = effects();
    await diesInside(shared, async ({ step }) => {
      await step("reserve", of("reserve"));
      return await never();
    });
    const { again } = await retry(shared, twoSteps(of, of("charge")));
    expect(await again).toMatchObject({ value: "charge", attempt: 2 });
    expect(done).toEqual(["reserve", "charge"]);
  });

  test("inside a step is unknown under at-most-once, and operators see which", async () => {
    const shared = world({ steps: true });
    const { done, of } = effects();
    await diesInside(shared, twoSteps(of, never));
    const { engine, again } = await retry(shared, twoSteps(of, of("charge")));
    expect(await rejection(again)).toMatchObject({ code: "OUTCOME_UNKNOWN", reason: "lapsed" });
    expect(done).toEqual(["reserve"]);
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
      attempt: 1,
      steps: [
        { name: "reserve", state: "done", value: "reserve" },
        { name: "charge", state: "begun" },
      ],
    });
  });

  test("inside a step is run again under at-least-once, the steps that are done are not", async () => {
    const shared = world({ steps: true, guarantee: "at-least-once" });
    const { done, of } = effects();
    await diesInside(shared, twoSteps(of, never));
    const { again } = await retry(shared, twoSteps(of, of("charge")), {
      guarantee: "at-least-once",
    });
    expect(await again).toMatchObject({ value: "charge" });
    expect(done).toEqual(["reserve", "charge"]);
  });

  test("stays as it is where that was asked for, and where it had no steps", async () => {
    const shared = world({ steps: true });
    await diesInside(shared, never);
    const blocked = await retry(shared, async () => "again", { onLapsed: "block" });
    expect(await rejection(blocked.again)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    const without = world();
    await diesInside(without, never);
    const { again } = await retry(without, async () => "again");
    expect(await rejection(again)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
  });

  test("with another payload is a conflict, whatever its steps", async () => {
    const shared = world({ steps: true });
    await diesInside(shared, never);
    const { engine } = otherProcess(shared, { steps: true });
    const other = engine.execute("orders", "k", 2, async () => "again");
    expect(await rejection(other)).toMatchObject({ code: "PAYLOAD_CONFLICT" });
  });

  const reconciling =
    (
      of: (name: string) => () => string,
      last: () => string | Promise<string>,
      reconcile: () => unknown,
    ) =>
    async ({ step }: Context) => {
      await step("reserve", of("reserve"));
      const options = { reconcile: reconcile as () => "still-unknown" };
      return await step("charge", last, options);
    };

  async function diedReconcilable(of: (name: string) => () => string) {
    const shared = world({ steps: true });
    await diesInside(
      shared,
      reconciling(of, never, () => "still-unknown"),
    );
    return shared;
  }

  test("inside a step that finds it happened goes on with what it found", async () => {
    const { done, of } = effects();
    const shared = await diedReconcilable(of);
    const found = () => ({ happened: "charged before" });
    const { again } = await retry(shared, reconciling(of, of("charge"), found));
    expect(await again).toMatchObject({ value: "charged before", attempt: 2 });
    expect(done).toEqual(["reserve"]);
  });

  test("inside a step that finds it did not happen runs it", async () => {
    const { done, of } = effects();
    const shared = await diedReconcilable(of);
    const { again } = await retry(
      shared,
      reconciling(of, of("charge"), () => "did-not-happen"),
    );
    expect(await again).toMatchObject({ value: "charge" });
    expect(done).toEqual(["reserve", "charge"]);
  });

  for (const [what, reconcile, error] of [
    ["says that it is still unknown", () => "still-unknown", { code: "OUTCOME_UNKNOWN" }],
    [
      "throws",
      () => {
        throw new Error("the provider is down");
      },
      { message: "the provider is down" },
    ],
    ["answers nonsense", () => undefined, { name: "TypeError" }],
  ] as const) {
    test(`stays open where reconcile ${what}, and is asked again next time`, async () => {
      const { done, of } = effects();
      const shared = await diedReconcilable(of);
      const { engine, again } = await retry(shared, reconciling(of, of("charge"), reconcile));
      expect(await rejection(again)).toMatchObject(error);
      expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed", attempt: 2 });
      const found = () => ({ happened: "charged before" });
      const third = engine.execute("orders", "k", 1, reconciling(of, of("charge"), found));
      expect(await third).toMatchObject({ value: "charged before", attempt: 3 });
      expect(done).toEqual(["reserve"]);
    });
  }

  test("inside a step whose code cannot reconcile any more stays open", async () => {
    const { done, of } = effects();
    const shared = await diedReconcilable(of);
    const { engine, again } = await retry(shared, twoSteps(of, of("charge")));
    expect(await rejection(again)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    expect(done).toEqual(["reserve"]);
  });

  test("is not resumed where its owner began a step just before it was taken over", async () => {
    const shared = world({ steps: true });
    await diesInside(shared, async ({ step }) => {
      await step("reserve", () => "reserved");
      return await never();
    });
    const value = 'steps:[{"name":"charge","begun":"once"}]';
    const marker = { revision: 9, value };
    // The late owner's marker arrives between the first look and the take-over.
    const other = otherProcess(shared, { steps: true });
    const { claim } = other.wire.store;
    let claims = 0;
    Object.assign(other.wire.store, {
      claim: async (requests: Parameters<typeof claim>[0]) => {
        claims += 1;
        if (claims === 2) {
          const late = leaseOver(shared.wire.calls);
          await shared.memory.renew(late.map((each) => ({ ...each, checkpoint: marker })));
        }
        return await claim(requests);
      },
    });
    const again = other.engine.execute("orders", "k", 1, async () => "again");
    expect(await rejection(again)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await other.engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
      steps: [{ name: "charge", state: "begun" }],
    });
  });
});

/** The last renewal again, with a lease of no time. */
function leaseOver(calls: readonly { readonly operation: string; readonly given: unknown }[]) {
  const last = calls.findLast(({ operation }) => operation === "renew");
  const [renewal] = (last?.given ?? []) as readonly Renewal[];
  if (renewal === undefined) throw new Error("nothing was renewed");
  const { id, owner, token } = renewal;
  return [{ id, owner, token, leaseMs: 0 }];
}

describe("trouble with the store", () => {
  test("before a step keeps it from running", async () => {
    const { engine, wire, time } = world({ steps: true, onError: "release" });
    const { done, of } = effects();
    wire.fail("renew", "refused", 10);
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", of("charge")));
    const caught = rejection(run);
    await time.advance(1_000);
    expect(await caught).toMatchObject({ code: "STORE_FAILED", operation: "renew" });
    expect(done).toEqual([]);
  });

  test("before a step is no failure of the work: the claim lapses, and is resumed", async () => {
    const shared = world({ steps: true });
    const { done, of } = effects();
    shared.wire.fail("renew", "refused", 3);
    const fn = ({ step }: Context) => step("charge", of("charge"));
    const caught = rejection(shared.engine.execute("orders", "k", 1, fn));
    await shared.time.advance(10_000);
    expect(await caught).toMatchObject({ code: "STORE_FAILED" });
    expect(await shared.engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    const { engine } = otherProcess(shared, { steps: true });
    expect(await engine.execute("orders", "k", 1, fn)).toMatchObject({ value: "charge" });
    expect(done).toEqual(["charge"]);
  });

  test("after a step costs its result nothing, and the next write carries it", async () => {
    const { engine, wire, time } = world({ steps: true });
    const { of } = effects();
    const run = engine.execute("orders", "k", 1, async ({ step }) => {
      const charged = await step("charge", () => {
        wire.fail("renew", "refused", 1_000);
        return "charged";
      });
      wire.heal();
      await step("mail", of("mail"));
      return charged;
    });
    await time.advance(LEASE_MS);
    expect(await run).toMatchObject({ value: "charged" });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      steps: [
        { name: "charge", state: "done", value: "charged" },
        { name: "mail", state: "done" },
      ],
    });
  });

  test("when a failed step is to be told lets the claim lapse instead of giving it back", async () => {
    const { engine, wire, time } = world({ steps: true, onError: "release" });
    const run = engine.execute("orders", "k", 1, ({ step }) =>
      step("charge", () => {
        wire.fail("renew", "refused", 1_000);
        throw new Error("declined");
      }),
    );
    const caught = rejection(run);
    await time.advance(LEASE_MS);
    expect(await caught).toMatchObject({ message: "declined" });
    expect(wire.count("release")).toBe(0);
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("tells a zombie inside a step that its claim is lost, with the result", async () => {
    const shared = world({ steps: true, guarantee: "at-least-once" });
    const charge = gate<string>();
    const errors: unknown[] = [];
    const late = shared.engine.execute("orders", "k", 1, async ({ step }) => {
      await step("charge", charge.fn).catch((error: unknown) => errors.push(error));
      await step("mail", () => "mail").catch((error: unknown) => errors.push(error));
      return "late";
    });
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(LEASE_MS + 1);
    const other = otherProcess(shared, { steps: true, guarantee: "at-least-once" });
    await other.engine.execute("orders", "k", 1, ({ step }) => step("charge", () => "second"));
    shared.wire.heal();
    charge.open("first");
    expect(await rejection(late)).toMatchObject({ code: "LEASE_LOST", value: "late" });
    expect(errors).toMatchObject([{ code: "LEASE_LOST", value: "first" }, { code: "RUN_ABORTED" }]);
    expect(await other.engine.inspect("orders", "k")).toMatchObject({ value: "second" });
  });

  test("cannot be mistaken for progress: a checkpoint of another kind runs nothing", async () => {
    const shared = world({ steps: true, guarantee: "at-least-once" });
    const { done, of } = effects();
    await diesInside(shared, never);
    await shared.memory.renew(
      leaseOver([...shared.wire.calls]).map((renewal) => ({
        ...renewal,
        checkpoint: { revision: 9, value: "foreign" },
      })),
    );
    const other = otherProcess(shared, { steps: true, guarantee: "at-least-once" });
    const run = other.engine.execute("orders", "k", 1, ({ step }) => step("charge", of("charge")));
    expect(await rejection(run)).toMatchObject({ code: "STORE_FAILED" });
    expect(done).toEqual([]);
  });
});

describe("doubt", () => {
  test("of one step keeps the failure of another beside it from being recorded", async () => {
    const shared = world({ steps: true });
    const unknown = { reconcile: () => "still-unknown" as const };
    await diesInside(shared, ({ step }) => step("charge", never, unknown));
    const { engine } = otherProcess(shared, { steps: true, settleAfterMs: 0 });
    const asked = gate<"still-unknown">();
    const run = engine.execute("orders", "k", 1, ({ step }) =>
      Promise.all([
        step("charge", () => "again", { reconcile: asked.fn }),
        step("mail", () => {
          throw new Error("no mail today");
        }),
      ]),
    );
    const caught = rejection(run);
    await settled();
    asked.open("still-unknown");
    expect(await caught).toMatchObject({ message: "no mail today" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("is what comes of a result that another release has kept in another way", async () => {
    const shared = world({ steps: true });
    await diesInside(shared, async ({ step }) => {
      await step("charge", () => "charged");
      return await never();
    });
    const [renewal] = leaseOver(shared.wire.calls);
    const value = 'steps:[{"name":"charge","body":"cbor:f6"}]';
    if (renewal === undefined) throw new Error("nothing was renewed");
    await shared.memory.renew([{ ...renewal, checkpoint: { revision: 9, value } }]);
    const { engine } = otherProcess(shared, { steps: true });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", () => "again"));
    expect(await rejection(run)).toMatchObject({ code: "STORE_FAILED" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("that is held by the policy stays open, so that it can be found out later", async () => {
    const shared = world({ steps: true });
    const unknown = { reconcile: () => "still-unknown" as const };
    await diesInside(shared, ({ step }) => step("charge", never, unknown));
    const { engine } = otherProcess(shared, { steps: true, settleAfterMs: 0, onError: "hold" });
    const run = engine.execute("orders", "k", 1, ({ step }) => step("charge", never, unknown));
    expect(await rejection(run)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });
});

describe("onLapsed with a function", () => {
  async function abandoned(onLapsed: LapsedPolicy) {
    const shared = world();
    await diesInside(shared, never);
    const { engine, events } = otherProcess(shared, { onLapsed, settleAfterMs: 0 });
    return { engine, events };
  }
  const run = (engine: Engine) => engine.execute("orders", "k", 1, async () => "ran");

  test("records what it found to have happened, for all callers", async () => {
    const keys: string[] = [];
    const { engine } = await abandoned(({ deriveKey, attempt }) => {
      keys.push(`${attempt} ${deriveKey("charge")}`);
      return { happened: "charged" };
    });
    expect(await run(engine)).toMatchObject({ value: "charged", replayed: true, attempt: 2 });
    expect(await run(engine)).toMatchObject({ value: "charged", replayed: true });
    expect(keys).toEqual([expect.stringMatching(/^2 [0-9a-f]{64}$/)]);
  });

  test("runs what it found not to have happened", async () => {
    const { engine } = await abandoned(async () => "did-not-happen" as const);
    expect(await run(engine)).toMatchObject({ value: "ran", replayed: false, attempt: 2 });
  });

  test("leaves open what is still unknown, or could not be found out", async () => {
    const answers: unknown[] = ["still-unknown", "no idea", { happened: 1 }];
    const { engine } = await abandoned((() => answers.shift()) as () => "still-unknown");
    expect(await rejection(run(engine))).toMatchObject({
      code: "OUTCOME_UNKNOWN",
      message: expect.stringContaining("A later call can decide it by `onLapsed`"),
    });
    expect(await rejection(run(engine))).toMatchObject({
      name: "TypeError",
      message: expect.stringMatching(/^onLapsed: expected \{ happened: value \}/),
    });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed", attempt: 3 });
    expect(await run(engine)).toMatchObject({ value: 1, replayed: true });
  });
});

describe("a derived key", () => {
  test("is the same on every attempt, and another for each name and record", async () => {
    const { engine } = world({ guarantee: "at-least-once" });
    const keys: string[] = [];
    const note = ({ deriveKey }: Context) => {
      keys.push(deriveKey("charge"), deriveKey("mail"));
      if (keys.length === 2) throw new Error("again");
    };
    await rejection(engine.execute("orders", "k", 1, note));
    await engine.execute("orders", "k", 1, note);
    await engine.execute("orders", "l", 1, note);
    expect(keys.slice(2, 4)).toEqual(keys.slice(0, 2));
    expect(new Set(keys).size).toBe(4);
  });

  test("needs a name", async () => {
    const { engine } = world();
    const run = engine.execute("orders", "k", 1, ({ deriveKey }) => deriveKey(""));
    expect(await rejection(run)).toMatchObject({ name: "TypeError" });
  });
});
