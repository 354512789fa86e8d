import { describe, expect, test } from "vitest";
import {
  ConflictError,
  createEngine,
  InProgressError,
  memoryStore,
  ReplayedError,
  ResultUnavailableError,
} from "../src/index.ts";
import { gate, rejection, settled, world } from "./world.ts";

describe("execute", () => {
  test("rebuilds a result that was not kept, for duplicates alone", async () => {
    const { engine } = world({ maxResultBytes: 0 });
    const references: unknown[] = [];
    const place = () =>
      engine.execute("orders", "k", null, () => ({ id: "o-1" }), {
        rebuild: async (reference) => {
          references.push(reference);
          return { id: "rebuilt" };
        },
      });
    const first = await place();
    expect([first.value, references]).toEqual([{ id: "o-1" }, []]);
    const { value, ...again } = await place();
    const { attempt, token, createdAt } = first;
    expect([value, again.replayed]).toEqual([{ id: "rebuilt" }, true]);
    expect(references).toEqual([{ attempt, token, createdAt, completedAt: createdAt }]);
    const without = engine.execute("orders", "k", null, () => ({ id: "o-2" }));
    expect(await rejection(without)).toBeInstanceOf(ResultUnavailableError);
    const wrong = engine.execute("orders", "k", null, () => 1, { rebuild: 1 as never });
    expect(await rejection(wrong)).toMatchObject({
      message: expect.stringContaining("rebuild: expected a function"),
    });
  });

  test("runs the function and tells what came of it", async () => {
    const { engine } = world();
    const outcome = await engine.execute("orders", "k", { sku: 1 }, () => ({ id: "o-1" }));
    expect(outcome).toEqual({
      value: { id: "o-1" },
      replayed: false,
      recorded: true,
      attempt: 1,
      token: expect.any(Number),
      createdAt: 1_700_000_000_000,
    });
  });

  test("gives a retry the first outcome without running", async () => {
    const { engine, time } = world();
    const first = await engine.execute("orders", "k", { sku: 1 }, () => ({ id: "o-1" }));
    await time.advance(500);
    const again = await engine.execute("orders", "k", { sku: 1 }, () => {
      throw new Error("ran again");
    });
    const expiresAt = 1_700_000_000_000 + 24 * 60 * 60 * 1_000;
    expect(again).toEqual({
      ...{ ...first, replayed: true },
      ...{ completedAt: 1_700_000_000_000, expiresAt },
    });
    expect(await engine.inspect("orders", "k")).toMatchObject({ expiresAt });
  });

  test("gives each duplicate a value of its own", async () => {
    const { engine } = world();
    const list = [1];
    await engine.execute("orders", "k", null, () => ({ list }));
    list.push(2);
    const second = await engine.execute("orders", "k", null, () => ({ list }));
    second.value.list.push(3);
    const third = await engine.execute("orders", "k", null, () => ({ list }));
    expect(third.value).toEqual({ list: [1] });
  });

  test("replays undefined, null and falsy values as they were", async () => {
    const { engine } = world();
    for (const [key, value] of Object.entries({ u: undefined, n: null, z: 0, e: "", f: false })) {
      await engine.execute("orders", key, null, () => value as unknown);
      const again = await engine.execute("orders", key, null, () => "other" as unknown);
      expect(again).toMatchObject({ replayed: true });
      expect(again.value).toBe(value);
    }
  });

  test("keeps -0, unusual strings and own __proto__ members in results", async () => {
    const { engine } = world();
    const odd = JSON.parse(
      '{"__proto__": {"a": 1}, "lone": "\\ud800", "nul": "\\u0000"}',
    ) as unknown;
    const value = { zero: -0, odd, text: "🔑 ' \" \\ \u2028" };
    await engine.execute("orders", "k", null, () => value as unknown);
    const { value: again } = await engine.execute("orders", "k", null, () => 0 as unknown);
    expect(again).toStrictEqual(value);
  });

  test("refuses other content under the same key, running or done", async () => {
    const { engine, events } = world();
    const running = gate<number>();
    const first = engine.execute("orders", "k", { sku: 1 }, running.fn);
    await settled();
    const other = () => engine.execute("orders", "k", { sku: 2 }, running.fn);
    expect(await rejection(other())).toBeInstanceOf(ConflictError);
    running.open(1);
    await first;
    const error = await rejection(other());
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ code: "PAYLOAD_CONFLICT" });
    expect(running.runs).toBe(1);
    expect(events.filter(({ name }) => name === "conflict")).toHaveLength(2);
  });

  test("keeps scopes apart, however their parts are cut", async () => {
    const { engine } = world();
    const scopes = [["a", "bc"], ["ab", "c"], ["a", "b", "c"], "abc", ["abc", "k"]];
    const ids: number[] = [];
    for (const scope of scopes) {
      const { value } = await engine.execute(scope, "k", null, () => ids.length);
      ids.push(value);
    }
    expect(ids).toEqual([0, 1, 2, 3, 4]);
    expect((await engine.execute(["abc"], "k", null, () => 9)).value).toBe(3);
  });

  test("hashes the payload before the function can change it", async () => {
    const { engine } = world();
    const payload = { items: [1] };
    await engine.execute("orders", "k", payload, () => payload.items.push(2));
    const again = await engine.execute("orders", "k", { items: [1] }, () => 0);
    expect(again.replayed).toBe(true);
  });

  test("records a failure: duplicates get it as the cause of ReplayedError", async () => {
    const { engine } = world();
    class Declined extends RangeError {
      override readonly name = "Declined";
      readonly code = "card_declined";
      readonly details = { limit: 5 };
    }
    const declined = new Declined("no money");
    const fail = () => engine.execute("orders", "k", null, () => Promise.reject(declined));
    expect(await rejection(fail())).toBe(declined);
    const error = await rejection(fail());
    expect(error).toBeInstanceOf(ReplayedError);
    const { cause } = error as ReplayedError;
    expect(cause).toBeInstanceOf(Error);
    expect(cause).toMatchObject({
      name: "Declined",
      message: "no money",
      code: "card_declined",
      details: { limit: 5 },
    });
    expect((cause as Error).stack).toContain("rebuilt from its record");
  });

  test("records what was thrown, whatever it was", async () => {
    const { engine } = world();
    const cyclic = new Error("cyclic") as Error & { self?: unknown };
    cyclic.self = cyclic;
    const bad = new Error("bad getter");
    Object.defineProperty(bad, "detail", {
      enumerable: true,
      get: () => {
        throw new Error("no");
      },
    });
    const thrown: readonly (readonly [unknown, unknown])[] = [
      ["text", "text"],
      [{ reason: 1 }, { reason: 1 }],
      [undefined, null],
      [cyclic, expect.objectContaining({ message: "cyclic" })],
      [bad, expect.objectContaining({ message: "bad getter" })],
      [1n, expect.objectContaining({ message: expect.stringContaining("could not be kept") })],
      [new Error("x".repeat(100_000)), expect.objectContaining({ name: "Error" })],
    ];
    for (const [index, [value, cause]] of thrown.entries()) {
      const run = () =>
        engine.execute("orders", `k${index}`, null, () => {
          throw value;
        });
      expect(await rejection(run())).toBe(value);
      expect(((await rejection(run())) as ReplayedError).cause).toEqual(cause);
    }
  });

  test("runs a function that throws before its first await like any other", async () => {
    const { engine } = world();
    const fail = () =>
      engine.execute("orders", "k", null, () => {
        throw new Error("at once");
      });
    expect(await rejection(fail())).toMatchObject({ message: "at once" });
    expect(await rejection(fail())).toBeInstanceOf(ReplayedError);
  });

  test("makes a key new once its outcome has expired", async () => {
    const { engine, time } = world({ replayMs: 400_000 });
    await engine.execute("orders", "k", { sku: 1 }, () => 1);
    await time.advance(399_999);
    expect((await engine.execute("orders", "k", { sku: 1 }, () => 2)).value).toBe(1);
    await time.advance(1);
    expect((await engine.execute("orders", "k", { sku: 2 }, () => 2)).value).toBe(2);
  });

  test("counts the time of a long run as from its end", async () => {
    const { engine, time } = world({ replayMs: 400_000 });
    const long = gate<number>();
    const first = engine.execute("orders", "k", null, long.fn);
    await time.advance(399_000);
    long.open(1);
    await first;
    await time.advance(399_000);
    expect((await engine.execute("orders", "k", null, () => 2)).replayed).toBe(true);
  });

  test("ignores excluded members of the payload", async () => {
    const { engine } = world({ exclude: ["/at", "/meta/trace~1id", "/items/1"] });
    const payload = (at: number) => ({ at, meta: { "trace/id": at, kept: 1 }, items: [1, at] });
    await engine.execute("orders", "k", payload(1), () => 1);
    expect((await engine.execute("orders", "k", payload(2), () => 2)).replayed).toBe(true);
    const other = { ...payload(1), meta: { "trace/id": 1, kept: 2 } };
    expect(await rejection(engine.execute("orders", "k", other, () => 2))).toBeInstanceOf(
      ConflictError,
    );
  });

  test("gives the function a context that cannot end the claim behind its back", async () => {
    const { engine } = world();
    const { value } = await engine.execute("orders", "k", null, (context) => ({
      names: Object.keys(context),
      isAborted: context.signal.aborted,
    }));
    expect(value).toEqual({
      names: ["token", "attempt", "signal", "deriveKey", "step", "steps", "transaction"],
      isAborted: false,
    });
  });

  test("works with the default clock, timers and randomness", async () => {
    const engine = createEngine({ store: memoryStore() });
    const runs = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        engine.execute("orders", "k", null, () => index, { onDuplicate: { waitMs: 1_000 } }),
      ),
    );
    expect(runs.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(runs.map(({ value }) => value)).size).toBe(1);
    await engine.close();
  });
});

describe("a result that cannot be kept", () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const results: readonly (readonly [string, unknown, string])[] = [
    ["a Date", { at: new Date(0) }, "the result.at is an instance of Date"],
    ["a Map", [new Map()], "the result[0] is an instance of Map"],
    ["a BigInt", { a: [1n] }, "the result.a[0] is a BigInt"],
    ["a function", () => 1, "the result is a function"],
    ["a symbol", { s: Symbol("s") }, "the result.s is a symbol"],
    ["NaN", { n: Number.NaN }, "the result.n is NaN"],
    ["infinity", { n: Number.POSITIVE_INFINITY }, "the result.n is Infinity"],
    ["undefined in a list", [undefined], "the result[0] is undefined; in a list use null"],
    // biome-ignore lint/suspicious/noSparseArray: holes are what is refused here.
    ["a hole in a list", [1, , 3], "the result[1] is undefined"],
    ["a cycle", cyclic, "the result.self refers back"],
    ["a member named by a symbol", { [Symbol("s")]: 1 }, "members named by symbols"],
    ["an instance of a class", new (class Order {})(), "the result is an instance of Order"],
    ["a name that is no identifier", { "a b": 1n }, "the result[…] is a BigInt"],
    [
      "something too large",
      "x".repeat(200),
      "the result has more than 100 bytes, see `maxResultBytes`",
    ],
    [
      "something that throws when read",
      {
        get bad(): never {
          throw new Error("secret");
        },
      },
      "reading the result threw",
    ],
  ];

  for (const [name, result, why] of results) {
    test(`${name}: is given to the first caller, and protects the key all the same`, async () => {
      const { engine, events } = world({ maxResultBytes: 100 });
      const run = () => engine.execute("orders", "k", null, () => result as unknown);
      const first = await run();
      expect(first).toMatchObject({ replayed: false, recorded: true });
      expect(first.value).toBe(result);
      const error = await rejection(run());
      expect(error).toBeInstanceOf(ResultUnavailableError);
      expect((error as Error).message).toContain(why);
      expect((error as Error).message).not.toContain("secret");
      expect(events.find(({ name: event }) => event === "completed")?.event).toMatchObject({
        notKeptBecause: expect.stringContaining(why),
      });
    });
  }

  test("deep nesting is refused, not a crash", async () => {
    const { engine } = world();
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    const run = () => engine.execute("orders", "k", null, () => deep);
    expect((await run()).recorded).toBe(true);
    expect(await rejection(run())).toBeInstanceOf(ResultUnavailableError);
    const payload = engine.execute("orders", "p", deep, () => 1);
    expect(await rejection(payload)).toMatchObject({
      message: expect.stringContaining("nested deeper than 500 levels"),
    });
  });

  test("members that are undefined count as absent", async () => {
    const { engine } = world();
    await engine.execute("orders", "k", { a: 1, b: undefined }, () => ({ id: 1, note: undefined }));
    const again = await engine.execute("orders", "k", { a: 1 }, () => ({ id: 2, note: undefined }));
    expect(again.value).toEqual({ id: 1 });
  });
});

describe("onError", () => {
  const boom = new Error("boom");
  const fail = () => Promise.reject(boom);

  test("release lets the next caller run", async () => {
    const { engine } = world({ onError: "release" });
    expect(await rejection(engine.execute("orders", "k", null, fail))).toBe(boom);
    const next = await engine.execute("orders", "k", null, ({ attempt }) => attempt);
    expect(next).toMatchObject({ value: 2, replayed: false, attempt: 2 });
  });

  test("unknown leaves the outcome to an operator", async () => {
    const { engine } = world({ onError: "hold" });
    expect(await rejection(engine.execute("orders", "k", null, fail))).toBe(boom);
    const error = await rejection(engine.execute("orders", "k", null, () => 1));
    expect(error).toMatchObject({ code: "OUTCOME_UNKNOWN", reason: "recorded" });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "unknown",
      error: expect.objectContaining({ message: "boom" }),
    });
  });

  test("a function decides by the error", async () => {
    const onError = (error: unknown) => (error === boom ? "release" : "record");
    const { engine } = world({ onError });
    await rejection(engine.execute("orders", "k", null, fail));
    await rejection(engine.execute("orders", "k", null, () => Promise.reject(new Error("other"))));
    expect(await rejection(engine.execute("orders", "k", null, () => 1))).toBeInstanceOf(
      ReplayedError,
    );
  });

  test("a function that decides nothing, or throws, leaves the outcome unknown", async () => {
    const bad = [() => "retry" as never, async () => "release" as never, () => JSON.parse("{")];
    for (const onError of bad) {
      const { engine } = world();
      const run = engine.execute("orders", "k", null, fail, { onError });
      expect(await rejection(run)).toBe(boom);
      expect(await engine.inspect("orders", "k")).toMatchObject({ state: "unknown" });
    }
  });

  test("at-least-once releases by default", async () => {
    const { engine } = world({ guarantee: "at-least-once" });
    await rejection(engine.execute("orders", "k", null, fail));
    expect((await engine.execute("orders", "k", null, () => 7)).value).toBe(7);
  });
});

describe("duplicates of a running call in this process", () => {
  test("are rejected from memory, with advice when to come again", async () => {
    const { engine, wire } = world();
    const running = gate<number>();
    const first = engine.execute("orders", "k", null, running.fn);
    await settled();
    const error = await rejection(engine.execute("orders", "k", null, running.fn));
    expect(error).toBeInstanceOf(InProgressError);
    expect(error).toMatchObject({ retryAfterMs: 1_000, attempt: 1 });
    expect(wire.count("claim")).toBe(1);
    running.open(1);
    await first;
  });

  test("that come with it share its claim, and a waiting crowd costs three calls", async () => {
    const { engine, wire } = world({ onDuplicate: { waitMs: 10_000 } });
    const running = gate<number>();
    const crowd = Array.from({ length: 256 }, () => engine.execute("orders", "k", 1, running.fn));
    await settled();
    running.open(42);
    const outcomes = await Promise.all(crowd);
    expect(running.runs).toBe(1);
    expect(outcomes.every(({ value }) => value === 42)).toBe(true);
    expect(outcomes.filter(({ replayed }) => replayed)).toHaveLength(255);
    expect(wire.calls.map(({ operation }) => operation)).toEqual(["claim", "complete", "claim"]);
    expect(wire.calls.map(({ given }) => (given as unknown[]).length)).toEqual([1, 1, 1]);
  });

  test("wait no longer than they were told to", async () => {
    const { engine, time } = world();
    const running = gate<number>();
    const first = engine.execute("orders", "k", null, running.fn);
    await settled();
    const waiting = engine.execute("orders", "k", null, running.fn, {
      onDuplicate: { waitMs: 5_000 },
    });
    const refused = rejection(waiting);
    await time.advance(5_000);
    expect(await refused).toBeInstanceOf(InProgressError);
    running.open(1);
    await first;
  });

  test("end their own waiting by their signal, and nobody else's", async () => {
    const { engine } = world({ onDuplicate: { waitMs: 60_000 } });
    const running = gate<number>();
    const controller = new AbortController();
    const first = engine.execute("orders", "k", null, running.fn, { signal: controller.signal });
    await settled();
    const second = engine.execute("orders", "k", null, running.fn, { signal: controller.signal });
    const third = engine.execute("orders", "k", null, running.fn);
    const left = rejection(second);
    await settled();
    controller.abort(new Error("client left"));
    expect(await left).toMatchObject({ message: "client left" });
    running.open(3);
    expect((await first).value).toBe(3);
    expect((await third).value).toBe(3);
  });

  test("see the failure, or run themselves once it was released", async () => {
    const { engine } = world({ onDuplicate: { waitMs: 60_000 }, guarantee: "at-least-once" });
    const running = gate<number>();
    const first = rejection(engine.execute("orders", "k", null, running.fn));
    await settled();
    const second = engine.execute("orders", "k", null, () => 2);
    await settled();
    running.fail(new Error("no"));
    expect(await first).toMatchObject({ message: "no" });
    expect(await second).toMatchObject({ value: 2, replayed: false, attempt: 2 });
  });

  test("of a finished call share one claim when they come together", async () => {
    const { engine, wire } = world();
    await engine.execute("orders", "k", { a: 1 }, () => ({ n: 1 }));
    wire.calls.length = 0;
    const crowd = Array.from({ length: 100 }, () =>
      engine.execute("orders", "k", { a: 1 }, () => ({ n: 2 })),
    );
    const outcomes = await Promise.all(crowd);
    expect(outcomes.every(({ value }) => value.n === 1)).toBe(true);
    expect(new Set(outcomes.map(({ value }) => value)).size).toBe(100);
    expect(wire.count("claim")).toBe(1);
  });

  test("with other content ask for themselves", async () => {
    const { engine } = world();
    await engine.execute("orders", "k", "right", () => 1);
    const [right, wrong] = await Promise.allSettled([
      engine.execute("orders", "k", "right", () => 2),
      engine.execute("orders", "k", "wrong", () => 2),
    ]);
    expect(right).toMatchObject({ status: "fulfilled", value: { replayed: true } });
    expect(wrong).toMatchObject({ status: "rejected", reason: { code: "PAYLOAD_CONFLICT" } });
  });
});
