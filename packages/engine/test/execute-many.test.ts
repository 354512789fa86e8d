import { describe, expect, test } from "vitest";
import type { Line } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

function lines(...keys: readonly string[]): readonly Line<{ key: string }>[] {
  return keys.map((key) => ({ key, payload: { key } }));
}

const doubled = (given: readonly Line<unknown>[]) =>
  given.map(({ key }) => ({ key, value: `${key}${key}` }));

describe("executeMany", () => {
  test("runs once on the lines that are new, and answers for each in its order", async () => {
    const { engine } = world();
    await engine.executeMany("stock", lines("b"), doubled);
    const seen: unknown[] = [];
    const verdicts = await engine.executeMany("stock", lines("c", "b", "a"), (fresh) => {
      seen.push(fresh);
      return doubled(fresh);
    });
    expect(verdicts).toEqual([
      { key: "c", verdict: "executed", value: "cc", recorded: true },
      { key: "b", verdict: "replayed", value: "bb" },
      { key: "a", verdict: "executed", value: "aa", recorded: true },
    ]);
    const token = expect.any(Number);
    expect(seen).toEqual([
      [
        { key: "c", payload: { key: "c" }, attempt: 1, token },
        { key: "a", payload: { key: "a" }, attempt: 1, token },
      ],
    ]);
  });

  test("does not call the function where nothing is new", async () => {
    const { engine } = world();
    await engine.executeMany("stock", lines("a"), doubled);
    const never = () => {
      throw new Error("called");
    };
    expect(await engine.executeMany("stock", lines("a"), never)).toMatchObject([
      { verdict: "replayed", value: "aa" },
    ]);
  });

  test("takes a key that comes twice as one line, and as a conflict with other content", async () => {
    const { engine } = world();
    const twice = [...lines("a", "a"), { key: "a", payload: { key: "other" } }];
    let runs = 0;
    const verdicts = await engine.executeMany("stock", twice, (fresh) => {
      runs += fresh.length;
      return doubled(fresh);
    });
    expect(runs).toBe(1);
    expect(verdicts).toMatchObject([
      { verdict: "executed", value: "aa" },
      { verdict: "replayed", value: "aa" },
      { key: "a", verdict: "conflict" },
    ]);
  });

  test("shares lists: of 1,000 lines each operation makes four", async () => {
    const { engine, wire } = world();
    const many = lines(...Array.from({ length: 1_000 }, (_, index) => `k${index}`));
    const verdicts = await engine.executeMany("stock", many, doubled);
    expect(verdicts).toHaveLength(1_000);
    expect([wire.count("claim"), wire.count("complete")]).toEqual([4, 4]);
    const claims = wire.calls.filter(({ operation }) => operation === "claim");
    const digests = claims.flatMap(({ given }) =>
      (given as { readonly id: { readonly digest: string } }[]).map(({ id }) => id.digest),
    );
    expect(digests).toEqual([...digests].sort());
  });

  test("tells conflicts, failures, open outcomes and what others run apart", async () => {
    const shared = world();
    const other = otherProcess(shared);
    await shared.engine.executeMany("stock", lines("failed"), () => [
      { key: "failed", error: new Error("broken") },
    ]);
    const held = await shared.engine.begin("stock", "held", { key: "held" });
    if (held.kind === "execute") await held.claim.hold("nobody knows");
    await shared.engine.execute("stock", "other", 1, () => 1);
    const running = gate<number>();
    const run = other.engine.execute("stock", "running", { key: "running" }, running.fn);
    await settled();
    const asked = lines("failed", "held", "other", "running", "new");
    expect(await shared.engine.executeMany("stock", asked, doubled)).toMatchObject([
      { key: "failed", verdict: "failed", error: { message: "broken" } },
      { key: "held", verdict: "unknown", error: { code: "OUTCOME_UNKNOWN" } },
      { key: "other", verdict: "conflict" },
      { key: "running", verdict: "in-progress", retryAfterMs: expect.any(Number) },
      { key: "new", verdict: "executed" },
    ]);
    running.open(1);
    await run;
  });

  test("waits for lines that others run once its own are done", async () => {
    const shared = world();
    const other = otherProcess(shared);
    const running = gate<string>();
    const run = other.engine.execute("stock", "a", { key: "a" }, running.fn);
    await settled();
    const asked = shared.engine.executeMany("stock", lines("a", "b"), doubled, {
      onDuplicate: { waitMs: 10_000 },
    });
    await shared.time.advance(50);
    expect(await shared.engine.inspect("stock", "b")).toMatchObject({ status: "succeeded" });
    running.open("theirs");
    await run;
    await shared.time.advance(1_000);
    expect(await asked).toMatchObject([
      { key: "a", verdict: "replayed", value: "theirs" },
      { key: "b", verdict: "executed" },
    ]);
  });

  test("leaves lines that others have given back meanwhile to the next call", async () => {
    const shared = world({ guarantee: "at-least-once" });
    const other = otherProcess(shared, { guarantee: "at-least-once" });
    const running = gate<string>();
    const run = other.engine.execute("stock", "a", { key: "a" }, running.fn);
    await settled();
    const waiting = shared.engine.executeMany("stock", lines("a"), doubled, {
      onDuplicate: { waitMs: 10_000 },
    });
    await shared.time.advance(50);
    running.fail(new Error("given back"));
    await rejection(run);
    await shared.time.advance(1_000);
    expect(await waiting).toMatchObject([{ key: "a", verdict: "in-progress" }]);
    const again = await shared.engine.executeMany("stock", lines("a"), doubled);
    expect(again).toMatchObject([{ verdict: "executed" }]);
  });

  test("records at once what the function says is done", async () => {
    const { engine } = world();
    const fault = new Error("half-way");
    const run = engine.executeMany("stock", lines("a", "b"), async (_, { done }) => {
      await done("a", "early");
      expect(await rejection(done("a", "twice"))).toBeInstanceOf(Error);
      expect(await rejection(done("z", "unknown"))).toBeInstanceOf(Error);
      throw fault;
    });
    expect(await rejection(run)).toBe(fault);
    expect(await engine.executeMany("stock", lines("a", "b"), doubled)).toMatchObject([
      { verdict: "replayed", value: "early" },
      { verdict: "failed", error: { message: "half-way" } },
    ]);
  });

  test("waits for what the function says is done without waiting for it", async () => {
    const { engine } = world();
    const verdicts = await engine.executeMany("stock", lines("a"), (_, { done }) => {
      void done("a", "early");
      return [];
    });
    expect(verdicts).toMatchObject([{ verdict: "executed", value: "early" }]);
  });

  test("goes by the keys as they were given, whatever the caller makes of its lines", async () => {
    const { engine } = world();
    const line = { key: "a", payload: 1 };
    const verdicts = await engine.executeMany("stock", [line], (fresh) => {
      line.key = "changed";
      return doubled(fresh);
    });
    expect(verdicts).toMatchObject([{ key: "a", verdict: "executed" }]);
  });

  test("resumes nothing at-most-once, though its engine has steps", async () => {
    const shared = world({ steps: true });
    const dies = shared.engine.executeMany("stock", lines("a"), () => new Promise<never>(() => {}));
    void dies.catch(() => undefined);
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(LEASE_MS + 1);
    const { engine } = otherProcess(shared, { steps: true });
    const verdicts = await engine.executeMany("stock", lines("a"), () => expect.unreachable());
    expect(verdicts).toMatchObject([{ verdict: "unknown" }]);
  });

  test("leaves a line without a result open, and runs it again under at-least-once", async () => {
    const { engine } = world({ guarantee: "at-least-once" });
    const some = () => [{ key: "a", value: 1 }];
    expect(await engine.executeMany("stock", lines("a", "b"), some)).toMatchObject([
      { verdict: "executed" },
      { verdict: "unknown", error: { message: expect.stringContaining("returned no result") } },
    ]);
    expect(await engine.executeMany("stock", lines("a", "b"), doubled)).toMatchObject([
      { verdict: "replayed" },
      { verdict: "executed" },
    ]);
  });

  test("records the others where a result is for no line, and says so", async () => {
    const { engine } = world();
    const run = engine.executeMany("stock", lines("a"), (fresh) => [
      ...doubled(fresh),
      { key: "z", value: "?" },
    ]);
    expect(await rejection(run)).toBeInstanceOf(TypeError);
    expect(await engine.inspect("stock", "a")).toMatchObject({ status: "succeeded" });
  });

  test("resumes a batch that died half-way under at-least-once, and not under at-most-once", async () => {
    for (const guarantee of ["at-least-once", "at-most-once"] as const) {
      const shared = world({ guarantee });
      const dies = shared.engine.executeMany("stock", lines("a", "b"), async (_, { done }) => {
        await done("a", "before");
        return await new Promise<never>(() => undefined);
      });
      void dies.catch(() => undefined);
      await settled();
      shared.wire.fail("renew", "hangs", 1_000);
      await shared.time.advance(LEASE_MS + 1);
      const { engine } = otherProcess(shared, { guarantee });
      const verdicts = await engine.executeMany("stock", lines("a", "b", "c"), doubled);
      const b = guarantee === "at-least-once" ? "executed" : "unknown";
      expect(verdicts).toMatchObject([
        { verdict: "replayed", value: "before" },
        { verdict: b },
        { verdict: "executed" },
      ]);
    }
  });

  test("gives back what it has claimed where the store fails, and runs nothing", async () => {
    const { engine, wire, time } = world();
    const many = lines(...Array.from({ length: 300 }, (_, index) => `k${index}`));
    const claim = wire.store.claim.bind(wire.store);
    let lists = 0;
    Object.assign(wire.store, {
      claim: async (requests: Parameters<typeof claim>[0]) => {
        lists += 1;
        if (lists > 1 && requests.length <= 44) throw new Error("no more");
        return await claim(requests);
      },
    });
    const run = rejection(engine.executeMany("stock", many, () => expect.unreachable()));
    await time.advance(20_000);
    expect(await run).toMatchObject({ code: "STORE_FAILED" });
    expect(wire.count("release")).toBeGreaterThan(0);
    const open = await engine.list({ state: "in-progress" });
    expect(open.records).toEqual([]);
  });

  test("aborts its signal when one of its lines is lost, and tells so for that line", async () => {
    const shared = world();
    const other = otherProcess(shared);
    const run = shared.engine.executeMany("stock", lines("a", "b"), async (fresh, { signal }) => {
      expect(signal.aborted).toBe(false);
      await other.engine.remove("stock", "a");
      await shared.time.advance(LEASE_MS / 2);
      expect(signal.aborted).toBe(true);
      return doubled(fresh);
    });
    expect(await run).toMatchObject([
      { key: "a", verdict: "unknown", error: { code: "LEASE_LOST" } },
      { key: "b", verdict: "executed" },
    ]);
  });

  test("refuses what is no batch, before anything is claimed", async () => {
    const { engine, wire } = world();
    const many = engine.executeMany.bind(engine) as (...given: unknown[]) => Promise<unknown>;
    const wrong: readonly [unknown, RegExp][] = [
      [undefined, /lines: expected a list of 1 to 10000 lines, got undefined/],
      [[], /got 0/],
      [lines(...Array.from({ length: 10_001 }, (_, index) => `k${index}`)), /got 10001/],
      [["a"], /lines\[0\]: expected \{ key, payload \}, got a string/],
      [[{ key: "a" }], /payload/],
      [
        [
          { key: "a", payload: 1 },
          { key: "", payload: 1 },
        ],
        /lines\[1\]: key: expected a string that/,
      ],
    ];
    for (const [given, message] of wrong) {
      expect(await rejection(many("stock", given, doubled))).toMatchObject({
        message: expect.stringMatching(message),
      });
    }
    expect(await rejection(many("stock", lines("a"), 1))).toMatchObject({
      message: expect.stringMatching(/fn: expected a function as the third argument/),
    });
    const answers = many("stock", lines("a"), () => "nothing");
    expect(await rejection(answers)).toMatchObject({
      message: expect.stringMatching(/expected a list of \{ key, value \}/),
    });
    expect(wire.count("claim")).toBe(1);
  });
});
