import { describe, expect, test } from "vitest";
import { type Begun, EngineClosedError, InProgressError, ReplayedError } from "../src/index.ts";
import { gate, rejection, settled, world } from "./world.ts";

function claimOf(begun: Begun) {
  if (begun.kind !== "execute") throw new Error("expected a claim");
  return begun.claim;
}

describe("begin", () => {
  test("gives a claim, and a replay once it is complete", async () => {
    const { engine } = world();
    const claim = claimOf(await engine.begin("orders", "k", { a: 1 }));
    expect(claim).toMatchObject({ attempt: 1, takenOver: false, createdAt: 1_700_000_000_000 });
    expect(await rejection(engine.begin("orders", "k", { a: 1 }))).toBeInstanceOf(InProgressError);
    expect(await claim.complete({ id: 1 })).toEqual({ recorded: true });
    expect(await engine.begin("orders", "k", { a: 1 })).toEqual({
      kind: "replay",
      value: { id: 1 },
      replayed: true,
      recorded: true,
      attempt: 1,
      token: claim.token,
      createdAt: 1_700_000_000_000,
      completedAt: 1_700_000_000_000,
      expiresAt: 1_700_000_000_000 + 24 * 60 * 60 * 1_000,
    });
  });

  test("a claim ends once: a second ending is refused with the name of the first", async () => {
    const { engine } = world();
    const claim = claimOf(await engine.begin("orders", "k", null));
    await claim.release();
    const again = [claim.complete(1), claim.fail(new Error()), claim.release(), claim.hold(1)];
    for (const ending of again) {
      expect(await rejection(ending)).toMatchObject({
        message: expect.stringContaining("this claim was ended by release() already"),
      });
    }
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "released" });
  });

  test("fail records the failure, hold the doubt with its evidence", async () => {
    const { engine } = world();
    await claimOf(await engine.begin("orders", "f", null)).fail(new Error("no"));
    expect(await rejection(engine.begin("orders", "f", null))).toBeInstanceOf(ReplayedError);
    await claimOf(await engine.begin("orders", "h", null)).hold({ response: 502 });
    expect(await rejection(engine.begin("orders", "h", null))).toMatchObject({
      code: "OUTCOME_UNKNOWN",
    });
    const held = await engine.inspect("orders", "h");
    expect(held).toMatchObject({ state: "unknown", value: { response: 502 } });
  });

  test("a claim is renewed until it ends", async () => {
    const { engine, time, wire } = world();
    const claim = claimOf(await engine.begin("orders", "k", null));
    await time.advance(120_000);
    expect(wire.count("renew")).toBe(12);
    expect(await claim.complete(1)).toEqual({ recorded: true });
    expect(time.timers).toBe(0);
  });
});

describe("close", () => {
  test("refuses new calls, and waits for those that run", async () => {
    const { engine, time } = world();
    const running = gate<number>();
    const run = engine.execute("orders", "k", null, running.fn);
    await settled();
    let isClosed = false;
    const closed = engine.close({ graceMs: 5_000 }).then(() => {
      isClosed = true;
    });
    const late = await rejection(engine.execute("orders", "new", null, () => 1));
    expect(late).toBeInstanceOf(EngineClosedError);
    await time.advance(1_000);
    expect(isClosed).toBe(false);
    running.open(1);
    expect(await run).toMatchObject({ recorded: true });
    await closed;
    expect(time.timers).toBe(0);
  });

  test("lets duplicates that wait have the outcome within its grace", async () => {
    const { engine } = world({ onDuplicate: { waitMs: 60_000 } });
    const running = gate<number>();
    const run = engine.execute("orders", "k", null, running.fn);
    const waiting = engine.execute("orders", "k", null, running.fn);
    await settled();
    const closed = engine.close();
    running.open(1);
    expect((await Promise.all([run, waiting])).map(({ value }) => value)).toEqual([1, 1]);
    await closed;
  });

  test("ends the rest after its grace: no timer survives, and nobody waits on", async () => {
    const { engine, time, wire } = world({ onDuplicate: { waitMs: 600_000 } });
    const running = gate<number>();
    let signal: AbortSignal | undefined;
    const run = engine.execute("orders", "k", null, (context) => {
      signal = context.signal;
      return running.fn();
    });
    await settled();
    const waiting = rejection(engine.execute("orders", "k", null, () => 2));
    await settled();
    const closed = engine.close({ graceMs: 2_000 });
    await time.advance(2_000);
    await closed;
    expect(await waiting).toBeInstanceOf(EngineClosedError);
    expect(signal?.reason).toMatchObject({ code: "RUN_ABORTED", reason: "engine-closed" });
    expect(time.timers).toBe(0);
    await time.advance(60_000);
    expect(wire.count("renew")).toBe(0);
    // What it did in the end is recorded all the same, as nobody took it over.
    running.open(1);
    expect(await run).toMatchObject({ recorded: true });
    expect(time.timers).toBe(0);
  });

  test("gives back a claim that is granted too late", async () => {
    const { engine, time, wire, memory } = world();
    wire.fail("claim", "hangs");
    const running = gate<number>();
    const run = rejection(engine.execute("orders", "k", null, running.fn));
    const closed = engine.close({ graceMs: 1_000 });
    await time.advance(10_000);
    await closed;
    expect(await run).toBeInstanceOf(EngineClosedError);
    expect(running.runs).toBe(0);
    const { records } = await memory.list({ state: "in-progress", limit: 10 });
    expect(records).toEqual([]);
    expect(time.timers).toBe(0);
  });

  test("of a derived engine leaves its parent open, and not the other way round", async () => {
    const { engine } = world();
    const child = engine.with({ guarantee: "at-least-once" });
    const other = engine.with({ leaseMs: 1_000 });
    await child.close();
    expect(await rejection(child.execute("o", "k", null, () => 1))).toBeInstanceOf(
      EngineClosedError,
    );
    expect((await engine.execute("o", "k", null, () => 1)).value).toBe(1);
    await engine.close();
    expect(await rejection(other.execute("o", "k", null, () => 1))).toBeInstanceOf(
      EngineClosedError,
    );
  });

  test("of a parent waits for what runs in its derived engines", async () => {
    const { engine } = world();
    const running = gate<number>();
    const run = engine.with({ leaseMs: 1_000 }).execute("o", "k", null, running.fn);
    await settled();
    let isClosed = false;
    const closed = engine.close().then(() => {
      isClosed = true;
    });
    await settled();
    expect(isClosed).toBe(false);
    running.open(1);
    await run;
    await closed;
  });

  test("may be called twice", async () => {
    const { engine } = world();
    await Promise.all([engine.close(), engine.close()]);
    await engine.close();
  });
});

describe("with", () => {
  test("changes the defaults of the derived engine alone", async () => {
    const { engine, events } = world();
    const rerunning = engine.with({ guarantee: "at-least-once" });
    const fail = () => Promise.reject(new Error("no"));
    await rejection(rerunning.execute("o", "released", null, fail));
    await rejection(engine.execute("o", "recorded", null, fail));
    expect(await engine.inspect("o", "released")).toMatchObject({ state: "released" });
    expect(await engine.inspect("o", "recorded")).toMatchObject({ status: "failed" });
    expect(events.map(({ name }) => name)).toEqual(["claimed", "released", "claimed", "failed"]);
  });

  test("shares what runs in this process", async () => {
    const { engine, wire } = world();
    const running = gate<number>();
    const run = engine.execute("o", "k", null, running.fn);
    await settled();
    const other = engine.with({ onDuplicate: { waitMs: 1_000 } }).execute("o", "k", null, () => 2);
    running.open(1);
    await run;
    expect((await other).value).toBe(1);
    expect(wire.count("read")).toBe(0);
  });
});
