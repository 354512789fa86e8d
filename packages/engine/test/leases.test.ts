import { describe, expect, test } from "vitest";
import { LeaseLostError } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

describe("heartbeats", () => {
  test("cost nothing for a run shorter than a third of the lease", async () => {
    const { engine, time, wire } = world();
    const running = gate<number>();
    const run = engine.execute("orders", "k", null, running.fn);
    await time.advance(LEASE_MS / 3 - 1);
    running.open(1);
    await run;
    await time.advance(LEASE_MS);
    expect(wire.count("renew")).toBe(0);
    expect(time.timers).toBe(0);
  });

  test("hold the lease for as long as the function runs", async () => {
    const shared = world({ guarantee: "at-least-once" });
    const other = otherProcess(shared, { guarantee: "at-least-once" });
    const running = gate<number>();
    const run = shared.engine.execute("orders", "k", null, running.fn);
    for (let minute = 0; minute < 10; minute += 1) {
      await shared.time.advance(60_000);
      const duplicate = other.engine.execute("orders", "k", null, () => 2);
      expect(await rejection(duplicate)).toMatchObject({ code: "IN_PROGRESS" });
    }
    running.open(1);
    expect(await run).toMatchObject({ value: 1, recorded: true });
    expect(shared.wire.count("renew")).toBe(60);
    expect(shared.time.timers).toBe(0);
  });

  test("of all running claims go in one list", async () => {
    const { engine, time, wire } = world();
    const running = gate<number>();
    const runs = Array.from({ length: 100 }, (_, index) =>
      engine.execute("orders", `k${index}`, null, running.fn),
    );
    await time.advance(LEASE_MS / 3);
    const lists = wire.calls.filter(({ operation }) => operation === "renew");
    expect(lists).toHaveLength(1);
    expect(lists[0]?.given).toHaveLength(100);
    running.open(1);
    await Promise.all(runs);
    expect(time.timers).toBe(0);
  });

  test("of claims begun one after another come to share lists", async () => {
    const { engine, time, wire } = world();
    const running = gate<number>();
    const runs: Promise<unknown>[] = [];
    for (let index = 0; index < 10; index += 1) {
      runs.push(engine.execute("orders", `k${index}`, null, running.fn));
      await time.advance(100);
    }
    await time.advance(LEASE_MS);
    const lists = wire.calls.filter(({ operation }) => operation === "renew");
    expect(lists.length).toBeLessThanOrEqual(3);
    running.open(1);
    await Promise.all(runs);
  });

  test("go on after trouble, and hold what they can still hold", async () => {
    const { engine, time, wire, events } = world();
    const running = gate<number>();
    const signals: AbortSignal[] = [];
    const run = engine.execute("orders", "k", null, ({ signal }) => {
      signals.push(signal);
      return running.fn();
    });
    wire.fail("renew", "refused", 6);
    await time.advance(2 * LEASE_MS);
    expect(signals[0]?.aborted).toBe(false);
    expect(wire.count("renew")).toBeGreaterThan(6);
    expect(events.filter(({ name }) => name === "store-error").length).toBeGreaterThan(0);
    running.open(1);
    expect(await run).toMatchObject({ recorded: true });
    expect(time.timers).toBe(0);
  });

  test("a renewal that answers after the end sets no timer again", async () => {
    const { engine, time, wire, events } = world();
    const running = gate<number>();
    const run = engine.execute("orders", "k", null, running.fn);
    wire.fail("renew", "hangs");
    await time.advance(LEASE_MS / 3);
    running.open(1);
    expect(await run).toMatchObject({ recorded: true });
    await time.advance(LEASE_MS);
    expect(events.map(({ name }) => name)).toEqual(["claimed", "completed"]);
    expect(time.timers).toBe(0);
  });

  test("a renewal refused because of the end itself is no lost lease", async () => {
    const { engine, time, wire, events } = world();
    const running = gate<number>();
    const run = engine.execute("orders", "k", null, running.fn);
    // The completion is done, but its answer and the two after it are lost; meanwhile a renewal.
    await time.advance(LEASE_MS / 3 - 10);
    wire.fail("complete", "answer lost", 1);
    running.open(1);
    await time.advance(10_000);
    expect(await run).toMatchObject({ recorded: true });
    expect(events.map(({ name }) => name)).toEqual(["claimed", "completed"]);
  });
});

describe("a lost claim", () => {
  test("aborts the signal once the lease is over without a confirmed renewal", async () => {
    const { engine, time, wire, events } = world();
    const running = gate<number>();
    let signal: AbortSignal | undefined;
    const run = engine.execute("orders", "k", null, (context) => {
      signal = context.signal;
      return running.fn();
    });
    wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    await time.advance(LEASE_MS - 1);
    expect(signal?.aborted).toBe(false);
    await time.advance(1);
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toMatchObject({ code: "RUN_ABORTED", reason: "lease-unconfirmed" });
    expect(events.at(-1)).toMatchObject({
      name: "aborted",
      event: { reason: "lease-unconfirmed" },
    });
    // Nobody took it over, so the late result still counts.
    running.open(1);
    expect(await run).toMatchObject({ value: 1, recorded: true });
    expect(time.timers).toBe(0);
  });

  test("counts the lease from before the claim was sent", async () => {
    const { engine, time, wire } = world();
    const running = gate<number>();
    let signal: AbortSignal | undefined;
    wire.fail("claim", "hangs", 1);
    wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    const run = engine.execute("orders", "k", null, (context) => {
      signal = context.signal;
      return running.fn();
    });
    await time.advance(4_000);
    expect(signal?.aborted).toBe(false);
    await time.advance(LEASE_MS - 4_000);
    expect(signal?.aborted).toBe(true);
    running.open(1);
    await run;
  });

  test("is noticed by the next heartbeat, and its late result refused", async () => {
    const shared = world();
    const other = otherProcess(shared);
    const running = gate<string>();
    let signal: AbortSignal | undefined;
    const run = rejection(
      shared.engine.execute("orders", "k", null, (context) => {
        signal = context.signal;
        return running.fn();
      }),
    );
    await settled();
    expect(await other.engine.remove("orders", "k")).toBe(true);
    const next = await other.engine.execute("orders", "k", null, () => "second");
    expect(next).toMatchObject({ value: "second", attempt: 2 });
    await shared.time.advance(LEASE_MS / 3);
    expect(signal?.aborted).toBe(true);
    expect(shared.events.at(-1)).toMatchObject({ event: { reason: "claim-refused" } });
    running.open("first");
    const error = await run;
    expect(error).toBeInstanceOf(LeaseLostError);
    expect(error).toMatchObject({ value: "first" });
    expect(shared.events.filter(({ name }) => name === "aborted")).toHaveLength(1);
    expect(shared.time.timers).toBe(0);
  });

  test("that failed carries the function's error as the cause", async () => {
    const shared = world();
    const other = otherProcess(shared);
    const running = gate<string>();
    const run = rejection(shared.engine.execute("orders", "k", null, running.fn));
    await settled();
    await other.engine.remove("orders", "k");
    const boom = new Error("boom");
    running.fail(boom);
    const error = await run;
    expect(error).toBeInstanceOf(LeaseLostError);
    expect(error).toMatchObject({ cause: boom });
  });

  test("no longer keeps duplicates of its process from asking the store", async () => {
    const shared = world({ onDuplicate: { waitMs: 100_000 } });
    const other = otherProcess(shared);
    const running = gate<string>();
    const run = rejection(shared.engine.execute("orders", "k", null, running.fn));
    await settled();
    const waiting = shared.engine.execute("orders", "k", null, () => "third");
    await other.engine.remove("orders", "k");
    await other.engine.execute("orders", "k", null, () => "second");
    await shared.time.advance(LEASE_MS);
    expect(await waiting).toMatchObject({ value: "second", replayed: true });
    running.open("first");
    expect(await run).toBeInstanceOf(LeaseLostError);
  });
});
