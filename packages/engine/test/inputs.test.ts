import { describe, expect, test } from "vitest";
import {
  createEngine,
  IdempotencyError,
  InvalidKeyError,
  InvalidScopeError,
  memoryStore,
} from "../src/index.ts";
import { rejection, world } from "./world.ts";

/** Calls with one thing wrong: nothing reaches the store, and nothing runs. */
async function refusal(
  call: (engine: ReturnType<typeof world>["engine"], fn: () => void) => Promise<unknown>,
) {
  const { engine, wire } = world();
  let runs = 0;
  const error = await rejection(
    call(engine, () => {
      runs += 1;
    }),
  );
  expect(runs).toBe(0);
  expect(wire.calls).toEqual([]);
  return error as Error;
}

const keys: readonly (readonly [string, unknown, string])[] = [
  ["is empty", "", "key: expected a string that is not empty"],
  ["is no string", 42, "key: expected a string, got 42"],
  ["is undefined", undefined, "key: expected a string, got undefined"],
  ["is null", null, "key: expected a string, got null"],
  ["is an object", { id: 1 }, "key: expected a string, got an object"],
  ["is a String object", new String("k"), "key: expected a string, got an instance of String"],
  ["has 256 bytes", "x".repeat(256), "key: expected at most 255 bytes of UTF-8, got 256"],
  ["has 128 letters of 2 bytes", "é".repeat(128), "got 256"],
  ["has a lone surrogate", "k\ud800", "key: expected well-formed Unicode"],
  ["has a NUL", "k\u0000", "key: expected text without the character U+0000"],
];

const scopes: readonly (readonly [string, unknown, string])[] = [
  ["is empty", "", "scope: expected a string that is not empty"],
  ["is undefined", undefined, "scope: expected a string or a list of strings"],
  ["is a number", 7, "scope: expected a string or a list of strings, such as [tenant, user"],
  ["is an empty list", [], "got an empty list"],
  ["has an empty part", ["tenant", ""], "scope[1]: expected a string that is not empty"],
  ["has an undefined part", ["tenant", undefined], "scope[1]: expected a string, got undefined"],
  ["has a hole", new Array(1), "scope[0]: expected a string, got undefined"],
  ["has a nested list", [["a"]], "scope[0]: expected a string, got a list"],
  ["has a lone surrogate", "\udc00", "scope: expected well-formed Unicode"],
  ["has a NUL", ["a\u0000b"], "scope[0]: expected text without the character U+0000"],
  [
    "is too long",
    "x".repeat(1_020),
    "scope: expected at most 1024 bytes of UTF-8 once joined, got 1025",
  ],
  ["is too long in parts", Array.from({ length: 400 }, () => "x"), "got 1200"],
];

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

const payloads: readonly (readonly [string, unknown, string])[] = [
  ["is undefined", undefined, "payload is undefined; pass null for an operation"],
  ["is a function", () => 1, "payload is a function, which JSON cannot carry"],
  ["is a BigInt", 1n, "payload is a BigInt"],
  ["is a symbol", Symbol("s"), "payload is a symbol"],
  ["is NaN", Number.NaN, "payload is NaN"],
  ["has infinity inside", { a: [Number.NEGATIVE_INFINITY] }, "payload.a[0] is -Infinity"],
  ["has a Date inside", { order: { at: new Date() } }, "payload.order.at is an instance of Date"],
  ["has a Map inside", { a: [1, new Map()] }, "payload.a[1] is an instance of Map"],
  ["has a Set inside", { a: new Set() }, "payload.a is an instance of Set"],
  ["has undefined in a list", [1, undefined], "payload[1] is undefined; in a list use null"],
  // biome-ignore lint/suspicious/noSparseArray: holes are what is refused here.
  ["has a hole", [1, , 3], "payload[1] is undefined"],
  ["is a cycle", cyclic, "payload.self refers back to a value that contains it"],
  ["has bytes inside", { a: new Uint8Array(1) }, "payload.a is an instance of Uint8Array"],
  ["is text with a lone surrogate", "\ud800", "payload contains a lone surrogate"],
  ["has such text inside", { a: "\ud800" }, "payload.a contains a lone surrogate"],
  ["has such a name", { "\ud800": 1 }, "contains a lone surrogate"],
  [
    "is a list with members of its own",
    Object.assign([1], { total: 5 }),
    "payload is a list with members",
  ],
  ["is an Error", new Error("x"), "payload is an instance of Error"],
  ["is a promise", Promise.resolve(1), "payload is an instance of Promise"],
  ["is an instance of a class", new (class Money {})(), "payload is an instance of Money"],
  ["has a name that is no identifier", { "a b": { c: 1n } }, "payload[…].c is a BigInt"],
];

describe("a key that", () => {
  for (const [name, key, message] of keys) {
    test(`${name} is refused`, async () => {
      const error = await refusal((engine, fn) => engine.execute("s", key as string, null, fn));
      expect(error).toBeInstanceOf(InvalidKeyError);
      expect(error.message).toContain(message);
    });
  }

  test("has 255 bytes is fine", async () => {
    const { engine } = world();
    await engine.execute("s", "x".repeat(255), null, () => 1);
  });
});

describe("a scope that", () => {
  for (const [name, scope, message] of scopes) {
    test(`${name} is refused`, async () => {
      const error = await refusal((engine, fn) => engine.execute(scope as string, "k", null, fn));
      expect(error).toBeInstanceOf(InvalidScopeError);
      expect(error.message).toContain(message);
    });
  }
});

describe("a payload that", () => {
  for (const [name, payload, message] of payloads) {
    test(`${name} is refused`, async () => {
      const error = await refusal((engine, fn) => engine.execute("s", "k", payload as null, fn));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(message);
    });
  }
});

describe("messages", () => {
  test("show no key, scope, payload or driver's details", async () => {
    const canary = "canary-4711";
    const errors = await Promise.all([
      refusal((engine, fn) => engine.execute("s", `${canary}${"x".repeat(300)}`, null, fn)),
      refusal((engine, fn) => engine.execute([canary, ""], "k", null, fn)),
      refusal((engine, fn) => engine.execute("s", canary, [canary, 1n] as never, fn)),
      refusal((engine, fn) => engine.execute("s", "k", { "4111 canary-4711": 1n } as never, fn)),
      refusal((engine, fn) => engine.execute(canary, `${canary}\u0000`, canary, fn)),
    ]);
    for (const error of errors) expect(`${error.message} ${error.stack}`).not.toContain(canary);
  });
});

describe("options", () => {
  const bad: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
    [
      { guarantee: "exactly-once" },
      "guarantee: expected 'at-most-once' or 'at-least-once', got 'exactly-once'",
    ],
    [{ guarantee: null }, "guarantee: expected"],
    [{ onError: "ignore" }, "onError: expected 'record' or 'release' or 'hold', got 'ignore'"],
    [{ onLapsed: true }, "onLapsed: expected 'block' or 'resume' or 'rerun', got true"],
    [{ onDuplicate: "wait" }, "onDuplicate: expected 'reject' or { waitMs }, got 'wait'"],
    [{ onDuplicate: {} }, "onDuplicate: expected 'reject' or { waitMs }, got an object"],
    [{ onDuplicate: { waitMs: 0 } }, "onDuplicate.waitMs: expected a whole number from 1 to"],
    [{ onDuplicate: { waitMs: "5" } }, "onDuplicate.waitMs: expected a whole number"],
    [{ leaseMs: 99 }, "leaseMs: expected a whole number from 100 to 86400000, got 99"],
    [{ leaseMs: 1_000.5 }, "leaseMs: expected a whole number"],
    [{ leaseMs: Number.NaN }, "leaseMs: expected a whole number from 100 to 86400000, got NaN"],
    [{ leaseMs: "30s" }, "leaseMs: expected a whole number"],
    [
      { replayMs: 1_000 },
      "replayMs: expected at least 350000, which is 10 × (leaseMs + storeTimeoutMs)",
    ],
    [{ leaseMs: 86_400_000 }, "replayMs: expected at least"],
    [{ storeTimeoutMs: 0 }, "storeTimeoutMs: expected a whole number from 10 to 600000"],
    [{ exclude: "/at" }, "exclude: expected a list of JSON Pointers, got a string"],
    [{ exclude: ["at"] }, "exclude[0]: expected a JSON Pointer such as '/requestedAt', got 'at'"],
    [{ exclude: ["/a~2"] }, "exclude[0]: expected a JSON Pointer"],
    [{ exclude: [""] }, "exclude[0]: expected a JSON Pointer"],
    [{ maxResultBytes: -1 }, "maxResultBytes: expected a whole number from 0"],
    [{ lease: 5 }, "lease: no such option. Expected one of guarantee, onError,"],
  ];
  for (const [options, message] of bad) {
    test(`${JSON.stringify(options)} is refused by createEngine, with and execute`, async () => {
      const store = memoryStore();
      const engine = createEngine({ store });
      for (const attempt of [
        () => createEngine({ store, ...options }),
        () => engine.with(options),
      ]) {
        expect(attempt).toThrow(TypeError);
        expect(attempt).toThrow(message);
      }
      const error = await refusal((each, fn) => each.execute("s", "k", null, fn, options));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(message);
    });
  }

  test("must be an object", async () => {
    for (const options of [null, "fast", 3, [], () => 1]) {
      expect(() => createEngine(options as never)).toThrow(TypeError);
      const call = refusal((engine, fn) => engine.execute("s", "k", null, fn, options as never));
      expect((await call).message).toContain("options: expected an object");
    }
  });

  test("need a store, and say what it lacks", () => {
    const withStore = (store: unknown) => () => createEngine({ store } as never);
    expect(withStore(undefined)).toThrow(
      "store: expected a store such as memoryStore(), got undefined",
    );
    expect(withStore({})).toThrow("store: expected a store, but it has no claim()");
    expect(withStore({ ...memoryStore(), purge: 1 })).toThrow("it has no purge()");
  });

  test("take a signal per call only, and one that is", async () => {
    const { engine } = world();
    expect(() => engine.with({ signal: new AbortController().signal } as never)).toThrow("signal");
    const call = engine.execute("s", "k", null, () => 1, { signal: {} as AbortSignal });
    expect((await rejection(call)) as Error).toMatchObject({
      message: expect.stringContaining("signal: expected an AbortSignal, got an object"),
    });
  });

  test("a signal that is aborted already runs nothing", async () => {
    const error = await refusal((engine, fn) =>
      engine.execute("s", "k", null, fn, { signal: AbortSignal.abort(new Error("gone")) }),
    );
    expect(error).toMatchObject({ message: "gone" });
  });

  test("need a function to run", async () => {
    for (const fn of [undefined, null, "fn", {}]) {
      const error = await refusal((engine) => engine.execute("s", "k", null, fn as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain("fn: expected a function");
    }
  });

  test("of purge and close are checked by name, and a store is no options", async () => {
    const { engine, memory } = world();
    expect(await rejection(engine.purge({ limt: 5 } as never))).toBeInstanceOf(TypeError);
    expect(await rejection(engine.purge(5 as never))).toBeInstanceOf(TypeError);
    expect(await rejection(engine.close({ grace: 5 } as never))).toBeInstanceOf(TypeError);
    expect(() => createEngine(memory as never)).toThrow("expected { store }, got the store itself");
  });

  test("of inspect are a scope and a key, or an object with a digest", async () => {
    const { engine } = world();
    const messageOf = async (record: unknown) =>
      ((await rejection(engine.inspect(record as { readonly digest: string }))) as Error).message;
    const expected = "inspect: expected (scope, key) or { digest }, got";
    expect(await messageOf("0".repeat(32))).toBe(`${expected} a string of 32 characters.`);
    expect(await messageOf(null)).toBe(`${expected} null.`);
    expect(await messageOf({ digest: "abc" })).toBe(
      "digest: expected 32 lower-case hex digits, got a string of 3 characters.",
    );
    expect(await engine.inspect({ digest: "0".repeat(32) })).toBeUndefined();
  });

  test("close refuses a grace that is none", async () => {
    const { engine } = world();
    for (const graceMs of [-1, Number.NaN, "1"]) {
      expect(await rejection(engine.close({ graceMs: graceMs as number }))).toBeInstanceOf(
        TypeError,
      );
    }
    await engine.execute("s", "k", null, () => 1);
  });
});

describe("errors", () => {
  test("are recognised across copies of the package", async () => {
    const { engine } = world();
    const error = await rejection(engine.execute("s", "", null, () => 1));
    const copy = Object.assign(new Error("from another copy"), {
      code: "INVALID_KEY",
      [Symbol.for("idemkit.error")]: true,
    });
    for (const each of [error, copy]) {
      expect(each).toBeInstanceOf(InvalidKeyError);
      expect(each).toBeInstanceOf(IdempotencyError);
      expect(each).not.toBeInstanceOf(InvalidScopeError);
    }
    const stranger = Object.assign(new Error("not ours"), { code: "INVALID_KEY" });
    expect(stranger).not.toBeInstanceOf(InvalidKeyError);
    expect(null).not.toBeInstanceOf(IdempotencyError);
  });

  test("of a user's own subclass are told apart by their class", () => {
    class Special extends InvalidKeyError {}
    expect(new Special("x")).toBeInstanceOf(Special);
    expect(new Special("x")).toBeInstanceOf(InvalidKeyError);
    expect(new InvalidKeyError("x")).not.toBeInstanceOf(Special);
  });
});
