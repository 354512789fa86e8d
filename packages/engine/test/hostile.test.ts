import { describe, expect, test } from "vitest";
import * as idemkit from "../src/index.ts";
import {
  createEngine,
  InProgressError,
  memoryStore,
  OutcomeUnknownError,
  ReplayedError,
  ResultUnavailableError,
  type Store,
  StoreError,
} from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

// What reviewers broke once, and what must not break again.

describe("clocks that disagree", () => {
  test("an outcome lives for its retention, though only the store saw the time pass", async () => {
    let steppedMs = 0;
    const engine = createEngine({ store: memoryStore({ clock: () => Date.now() + steppedMs }) });
    let runs = 0;
    const fn = () => {
      runs += 1;
      // As if the machine had slept for a day: its monotonic clock stood still.
      if (runs === 1) steppedMs = 25 * 3_600_000;
      return runs;
    };
    expect(await engine.execute("s", "k", null, fn)).toMatchObject({ recorded: true });
    expect(await engine.execute("s", "k", null, fn)).toMatchObject({ value: 1, replayed: true });
  });

  test("a claim answered after its lease is confirmed before the function runs", async () => {
    const { engine, wire, time } = world({ leaseMs: 1_000, storeTimeoutMs: 5_000 });
    wire.delay("claim", 2_000);
    const run = engine.execute("s", "k", null, () => 1);
    await time.advance(2_000);
    expect(await run).toMatchObject({ value: 1, recorded: true });
    expect(wire.calls.map(({ operation }) => operation)).toEqual(["claim", "renew", "complete"]);
  });

  test("a claim that was taken over on its way does not run", async () => {
    const options = { leaseMs: 1_000, guarantee: "at-least-once" } as const;
    const shared = world(options);
    const other = otherProcess(shared, options);
    shared.wire.delay("claim", 2_000, "answer");
    const late = gate<string>();
    const run = rejection(shared.engine.execute("s", "k", null, late.fn));
    await shared.time.advance(1_500);
    const taken = gate<string>();
    const second = other.engine.execute("s", "k", null, taken.fn);
    await shared.time.advance(2_500);
    expect(await run).toBeInstanceOf(InProgressError);
    expect(late.runs).toBe(0);
    taken.open("second");
    expect(await second).toMatchObject({ value: "second", attempt: 2 });
  });
});

describe("answers that take longer than the lease", () => {
  for (const guarantee of ["at-most-once", "at-least-once"] as const) {
    test(`run nothing under a lease that is over already (${guarantee})`, async () => {
      const shared = world({ leaseMs: 1_000, guarantee });
      const other = otherProcess(shared, { leaseMs: 1_000, guarantee: "at-least-once" });
      shared.wire.delay("claim", 1_500, "answer");
      shared.wire.delay("renew", 1_500, "answer");
      const first = gate<string>();
      const run = rejection(shared.engine.execute("s", "k", null, first.fn));
      await shared.time.advance(2_600);
      const second = gate<string>();
      const taken = other.engine.execute("s", "k", null, second.fn);
      await shared.time.advance(20_000);
      expect(first.runs).toBe(0);
      second.open("second");
      expect(await taken).toMatchObject({ value: "second" });
      await shared.time.advance(20_000);
      expect(await run).toBeInstanceOf(Error);
    });
  }

  test("for ever end in a clear error, and the key is given back", async () => {
    const { engine, wire, time } = world({ leaseMs: 100, storeTimeoutMs: 5_000 });
    wire.delay("claim", 150);
    wire.delay("renew", 150, "answer");
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(5_000);
    expect(await run).toBeInstanceOf(StoreError);
    expect(String(((await run) as Error).cause)).toContain("take longer than the lease");
    await time.advance(5_000);
    expect(await engine.inspect("s", "k")).toMatchObject({ state: "released" });
  });

  test("and then fail give the key back as well", async () => {
    const { engine, wire, time } = world({ leaseMs: 1_000 });
    wire.delay("claim", 2_000);
    wire.fail("renew", "refused", 3);
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(10_000);
    expect(await run).toBeInstanceOf(StoreError);
    expect(await engine.inspect("s", "k")).toMatchObject({ state: "released" });
  });
});

describe("the end of a lease", () => {
  for (const fault of ["refused", "hangs"] as const) {
    for (const leaseMs of [1_000, 12_000, 30_000]) {
      test(`is told to the moment where renewals meet «${fault}» (${leaseMs} ms)`, async () => {
        const { engine, wire, time } = world({ leaseMs });
        wire.fail("renew", fault, Number.POSITIVE_INFINITY);
        const running = gate<number>();
        let signal: AbortSignal | undefined;
        const run = engine.execute("s", "k", null, (context) => {
          signal = context.signal;
          return running.fn();
        });
        await time.advance(leaseMs - 1);
        expect(signal?.aborted).toBe(false);
        await time.advance(1);
        expect(signal?.aborted).toBe(true);
        running.open(1);
        await run;
      });
    }
  }
});

describe("many payloads for one key", () => {
  test("cost the store one claim, or two, and hold up no honest duplicate", async () => {
    const { engine, wire } = world();
    await engine.execute("s", "k", 0, () => "kept");
    wire.calls.length = 0;
    const crowd = Array.from({ length: 1_000 }, (_, index) =>
      engine.execute("s", "k", index, () => "again").catch((error: unknown) => error),
    );
    const results = await Promise.all(crowd);
    expect(results[0]).toMatchObject({ value: "kept", replayed: true });
    expect(results.filter((result) => result instanceof Error)).toHaveLength(999);
    expect(wire.count("claim")).toBeLessThanOrEqual(2);
  });

  test("are told apart where what lapsed depends on who asks", async () => {
    const shared = world({ guarantee: "at-least-once" });
    const dead = otherProcess(shared);
    await dead.engine.begin("s", "k", "right");
    dead.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    await shared.time.advance(30_000);
    const [wrong, right] = await Promise.allSettled([
      shared.engine.execute("s", "k", "wrong", () => 1),
      shared.engine.execute("s", "k", "right", () => 2),
    ]);
    expect(wrong).toMatchObject({ reason: { code: "PAYLOAD_CONFLICT" } });
    expect(right).toMatchObject({ value: { value: 2, attempt: 2 } });
  });

  test("of two engines on one store meet in the process", async () => {
    const { engine, time, wire } = world();
    const other = createEngine({ store: wire.store, runtime: time.runtime });
    const running = gate<number>();
    const run = engine.execute("s", "k", null, running.fn);
    await settled();
    expect(await rejection(other.execute("s", "k", null, () => 2))).toBeInstanceOf(InProgressError);
    expect(wire.count("claim")).toBe(1);
    running.open(1);
    await run;
  });
});

describe("hostile errors", () => {
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  const trapped = () =>
    new Proxy(new Error("trapped"), {
      ownKeys: () => {
        throw new Error("no keys for you");
      },
    });

  for (const [name, make] of Object.entries({ revoked, trapped })) {
    for (const onError of ["record", "hold"] as const) {
      test(`a ${name} proxy that is thrown ends its claim (${onError})`, async () => {
        const { engine, time } = world({ onError });
        const thrown = make();
        let caught: unknown;
        await engine
          .execute("s", "k", null, () => {
            throw thrown;
          })
          .catch((error: unknown) => {
            caught = error;
          });
        expect(caught === thrown).toBe(true);
        const again = await rejection(engine.execute("s", "k", null, () => 1));
        expect(again).toBeInstanceOf(onError === "record" ? ReplayedError : OutcomeUnknownError);
        expect(time.timers).toBe(0);
      });
    }
  }

  test("an error with huge properties is described without them, and at once", async () => {
    const { engine } = world();
    const big = Object.assign(new Error("big"), {
      rows: Array.from({ length: 2_000_000 }, String),
    });
    await rejection(engine.execute("s", "k", null, () => Promise.reject(big)));
    const { cause } = (await rejection(engine.execute("s", "k", null, () => 1))) as ReplayedError;
    expect(cause).toMatchObject({ message: "big" });
    expect(cause).not.toHaveProperty("rows");
  });

  test("a policy that answers a rejecting promise decides nothing, and harms nothing", async () => {
    const { engine } = world();
    const onError = (async () => {
      throw new Error("late");
    }) as never;
    const boom = new Error("boom");
    const run = engine.execute("s", "k", null, () => Promise.reject(boom), { onError });
    expect(await rejection(run)).toBe(boom);
    expect(await engine.inspect("s", "k")).toMatchObject({ state: "unknown" });
  });
});

describe("hostile results", () => {
  test("that share one child a million times are given up early", async () => {
    const { engine } = world({ maxResultBytes: 10_000 });
    let shared: unknown = "leaf";
    for (let level = 0; level < 40; level += 1) shared = [shared, shared];
    const run = () => engine.execute("s", "k", null, () => shared);
    expect(await run()).toMatchObject({ recorded: true });
    expect(await rejection(run())).toBeInstanceOf(ResultUnavailableError);
  });

  test("whose members are named by data do not show them", async () => {
    const { engine, events } = world();
    const result = { byCard: { "4111-1111": new Date() } } as unknown;
    await engine.execute("s", "k", null, () => result);
    const error = await rejection(engine.execute("s", "k", null, () => result));
    expect(JSON.stringify([events, String(error)])).not.toContain("4111");
  });

  test("that are lists with members of their own are not cut short in silence", async () => {
    const { engine } = world();
    const run = () => engine.execute("s", "k", null, () => /(b)/.exec("ab") as unknown);
    await run();
    expect(await rejection(run())).toBeInstanceOf(ResultUnavailableError);
  });
});

describe("callers that leave", () => {
  test("while the claim is under way are let go, and nothing runs for them", async () => {
    const { engine, wire, time } = world();
    wire.delay("claim", 1_000);
    const controller = new AbortController();
    const running = gate<number>();
    const run = engine.execute("s", "k", null, running.fn, { signal: controller.signal });
    const left = rejection(run);
    await settled();
    controller.abort(new Error("left"));
    await time.advance(1_000);
    expect(await left).toMatchObject({ message: "left" });
    expect(running.runs).toBe(0);
    expect(await engine.inspect("s", "k")).toMatchObject({ state: "released" });
    expect(time.timers).toBe(0);
  });

  test("before they begin to wait do not wait at all", async () => {
    const { engine, wire, time } = world({ onDuplicate: { waitMs: 60_000 } });
    const running = gate<number>();
    const first = engine.execute("s", "k", null, running.fn);
    wire.delay("claim", 1_000);
    const controller = new AbortController();
    const second = rejection(
      engine.execute("s", "k", null, running.fn, { signal: controller.signal }),
    );
    controller.abort(new Error("left"));
    await time.advance(1_000);
    expect(await second).toMatchObject({ message: "left" });
    running.open(1);
    await first;
  });

  test("by the thousands leave nothing behind at a call that goes on", async () => {
    const { engine, time } = world();
    const running = gate<number>();
    const first = engine.execute("s", "k", null, running.fn);
    await settled();
    for (let round = 0; round < 5; round += 1) {
      const crowd = Array.from({ length: 200 }, () =>
        rejection(engine.execute("s", "k", null, running.fn, { onDuplicate: { waitMs: 1 } })),
      );
      await time.advance(1);
      await Promise.all(crowd);
    }
    // Only the heartbeat of the call itself is left.
    expect(time.timers).toBe(1);
    running.open(1);
    await first;
  });
});

describe("a claim that took over and is given up", () => {
  test("does not let at-most-once run: what it took over is still open", async () => {
    const shared = world();
    const dead = otherProcess(shared);
    await dead.engine.begin("s", "k", null);
    dead.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    await shared.time.advance(30_000);
    shared.wire.fail("claim", "answer lost", 3);
    const rerun = shared.engine.execute("s", "k", null, () => 1, { onLapsed: "rerun" });
    const refused = rejection(rerun);
    await shared.time.advance(20_000);
    expect(await refused).toBeInstanceOf(StoreError);
    expect(await shared.engine.inspect("s", "k")).toMatchObject({ state: "lapsed", attempt: 2 });
    const careful = await rejection(shared.engine.execute("s", "k", null, () => 2));
    expect(careful).toBeInstanceOf(OutcomeUnknownError);
  });

  test("does so neither when its engine is closed meanwhile", async () => {
    const shared = world({ onLapsed: "rerun" });
    const careful = otherProcess(shared);
    const dead = otherProcess(shared);
    await dead.engine.begin("s", "k", null);
    dead.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    await shared.time.advance(30_000);
    shared.wire.delay("claim", 2_000);
    const run = rejection(shared.engine.execute("s", "k", null, () => 1));
    const closed = shared.engine.close({ graceMs: 1_000 });
    await shared.time.advance(2_000);
    await closed;
    expect(await run).toMatchObject({ code: "ENGINE_CLOSED" });
    const next = await rejection(careful.engine.execute("s", "k", null, () => 2));
    expect(next).toBeInstanceOf(OutcomeUnknownError);
  });

  for (const guarantee of ["at-most-once", "at-least-once"] as const) {
    test(`does so neither when its function fails, after a first run ${guarantee}`, async () => {
      const dead = world({ guarantee });
      const bold = otherProcess(dead, { guarantee: "at-least-once" });
      const careful = otherProcess(dead);
      void rejection(dead.engine.execute("s", "k", null, gate<number>().fn));
      await settled();
      dead.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
      await dead.time.advance(30_000);
      const declined = new Error("no connection");
      const failing = bold.engine.execute("s", "k", null, () => Promise.reject(declined));
      expect(await rejection(failing)).toBe(declined);
      const next = await rejection(careful.engine.execute("s", "k", null, () => 2));
      expect(next).toBeInstanceOf(OutcomeUnknownError);
      const again = await bold.engine.execute("s", "k", null, ({ attempt }) => attempt);
      expect(again.value).toBe(3);
    });
  }
});

describe("a claim that is lost where it would be released", () => {
  test("leaves the caller the function's own error", async () => {
    const { engine } = world({ guarantee: "at-least-once" });
    const declined = new Error("declined");
    const run = engine.execute("s", "k", null, async () => {
      await engine.remove("s", "k");
      throw declined;
    });
    expect(await rejection(run)).toBe(declined);
  });

  test("says so in begin, without throwing", async () => {
    const shared = world();
    const { engine: other } = otherProcess(shared);
    const begun = await shared.engine.begin("s", "k", null);
    if (begun.kind !== "execute") throw new Error("expected a claim");
    await other.remove("s", "k");
    await other.execute("s", "k", null, () => "somebody else's");
    expect(await begun.claim.release()).toEqual({ recorded: false });
    expect(begun.claim.signal.reason).toMatchObject({ reason: "claim-refused" });
  });
});

describe("patience", () => {
  test("of one engine is not stretched by another on the same store", async () => {
    const shared = world({ storeTimeoutMs: 600_000, replayMs: 10 * 86_400_000 });
    shared.wire.fail("claim", "hangs", 2);
    void shared.engine.execute("s", "a", null, () => 1).catch(() => undefined);
    await settled();
    void shared.engine.execute("s", "b", null, () => 1).catch(() => undefined);
    await settled();
    void shared.engine.execute("s", "c", null, () => 1).catch(() => undefined);
    await settled();
    const hasty = rejection(
      shared.engine.with({ storeTimeoutMs: 1_000 }).execute("s", "d", null, () => 1),
    );
    await shared.time.advance(1_000);
    expect(await hasty).toMatchObject({ cause: { code: "NOT_SENT" } });
  });

  test("of a call is its own, though another has asked the store for both", async () => {
    const shared = world({ storeTimeoutMs: 600_000, replayMs: 10 * 86_400_000 });
    shared.wire.fail("claim", "hangs", Number.POSITIVE_INFINITY);
    void shared.engine.execute("s", "k", null, () => 1).catch(() => undefined);
    const hasty = shared.engine.with({ storeTimeoutMs: 1_000 });
    const together = rejection(hasty.execute("s", "k", null, () => 1));
    await settled();
    const later = rejection(hasty.execute("s", "k", null, () => 1));
    await shared.time.advance(1_000);
    expect(await together).toBeInstanceOf(StoreError);
    expect(await later).toBeInstanceOf(StoreError);
  });

  test("that is short does not break up the lists of the others", async () => {
    const shared = world();
    shared.wire.delay("claim", 100);
    const hasty = shared.engine.with({ storeTimeoutMs: 50 });
    const calls = Array.from({ length: 30 }, (_, index) =>
      shared.engine.execute("s", `k${index}`, null, () => index),
    );
    const impatient = rejection(hasty.execute("s", "x", null, () => 1));
    await shared.time.advance(100);
    expect(await impatient).toBeInstanceOf(StoreError);
    expect(await Promise.all(calls)).toHaveLength(30);
    expect(shared.wire.count("complete")).toBe(1);
  });
});

describe("heartbeats of one lease length", () => {
  test("a claim that is due sooner than those before it is renewed in time", async () => {
    const shared = world({ leaseMs: 3_000 });
    shared.wire.delay("claim", 2_500);
    const running = gate<number>();
    const first = shared.engine.execute("s", "late", null, running.fn);
    await shared.time.advance(2_400);
    shared.wire.delay("claim", 0);
    const second = shared.engine.execute("s", "fresh", null, running.fn);
    await shared.time.advance(2_000);
    expect(shared.events.filter(({ name }) => name === "aborted")).toEqual([]);
    running.open(1);
    await Promise.all([first, second]);
  });
});

describe("a store that answers wrongly for one entry", () => {
  test("fails that entry alone", async () => {
    const inner = memoryStore();
    const store = {
      ...inner,
      claim: async (requests: Parameters<typeof inner.claim>[0]) =>
        (await inner.claim(requests)).map((outcome, index) =>
          requests[index]?.id.key === "bad" ? { ...outcome, token: 0.5 } : outcome,
        ),
    };
    const engine = createEngine({ store });
    const results = await Promise.allSettled(
      ["a", "bad", "b"].map((key) => engine.execute("s", key, null, () => key)),
    );
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });

  test("or outside the lists is found out as well", async () => {
    const bad = { purge: Number.NaN, remove: undefined, list: [] };
    const store = { ...memoryStore() };
    for (const [operation, answer] of Object.entries(bad)) {
      Object.assign(store, { [operation]: async () => answer });
    }
    const engine = createEngine({ store });
    await engine.execute("s", "k", null, () => 1);
    expect(await rejection(engine.purge())).toBeInstanceOf(StoreError);
    expect(await rejection(engine.remove("s", "k"))).toBeInstanceOf(StoreError);
    expect(await rejection(engine.list({ state: "lapsed" }))).toBeInstanceOf(StoreError);
  });
});

describe("a closed engine", () => {
  test("refuses operators' calls too, and closes a second time at once", async () => {
    const { engine, time } = world();
    const running = gate<number>();
    const run = engine.execute("s", "k", null, running.fn);
    await settled();
    const closed = engine.close({ graceMs: 1_000 });
    await time.advance(1_000);
    await closed;
    await engine.close();
    const calls = [
      engine.inspect("s", "k"),
      engine.list({ state: "lapsed" }),
      engine.remove("s", "k"),
      engine.purge(),
      engine.settle("s", "k", { as: "released", by: "ann", why: "closing" }),
    ];
    for (const call of calls)
      expect(await rejection(call)).toMatchObject({ code: "ENGINE_CLOSED" });
    running.open(1);
    await run;
  });

  test("sends no claim any more to give back what was never there", async () => {
    const { engine, time, wire, memory } = world();
    wire.fail("claim", "refused", 3);
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(105);
    await run;
    const closed = engine.close({ graceMs: 0 });
    await time.advance(0);
    await closed;
    await time.advance(10_000);
    expect(wire.count("claim")).toBe(3);
    expect((await memory.list({ state: "in-progress", limit: 1 })).records).toEqual([]);
  });

  test("that is told to hurry up ends what was closed patiently before", async () => {
    const { engine, time } = world();
    const running = gate<number>();
    const run = engine.execute("s", "k", null, running.fn);
    await settled();
    const patient = engine.close({ graceMs: 86_400_000 });
    const hasty = engine.close({ graceMs: 0 });
    await time.advance(0);
    await Promise.all([patient, hasty]);
    expect(time.timers).toBe(0);
    running.open(1);
    await run;
  });

  test("leaves no timer once its last calls to the store are over", async () => {
    const { engine, time, wire } = world();
    wire.fail("claim", "refused", Number.POSITIVE_INFINITY);
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(300);
    await run;
    const closed = engine.close({ graceMs: 0 });
    await time.advance(0);
    await closed;
    const calls = wire.calls.length;
    await time.advance(200);
    expect(time.timers).toBe(0);
    expect(wire.calls.length - calls).toBeLessThan(3);
  });
});

test("events that are none, and listeners that are none, are refused", () => {
  const { engine } = world();
  expect(() => engine.on("complete" as "completed", () => undefined)).toThrow("no such event");
  expect(() => engine.on("completed", "no" as never)).toThrow("expected a function");
});

test("list refuses options that it does not have", async () => {
  const { engine } = world();
  const error = await rejection(engine.list({ state: "lapsed", limt: 3 } as never));
  expect(error).toMatchObject({ message: expect.stringContaining("limt: no such option") });
});

describe("a claim whose answer comes too late", () => {
  test("is given back, also where the lease is shorter than the store's time-out", async () => {
    const { engine, wire, time } = world({ leaseMs: 1_000, storeTimeoutMs: 5_000 });
    wire.delay("claim", 20_000, "answer");
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(5_000);
    expect(await run).toBeInstanceOf(StoreError);
    wire.delay("claim", 0);
    await time.advance(30_000);
    expect(await engine.execute("s", "k", null, () => 2)).toMatchObject({ value: 2, attempt: 2 });
  });
});

describe("an engine that was closed while a claim was on its way", () => {
  test("gives back what is granted, without renewing it first", async () => {
    const { engine, wire, time } = world({ leaseMs: 1_000, storeTimeoutMs: 10_000 });
    wire.delay("claim", 3_000, "answer");
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await settled();
    const closed = engine.close({ graceMs: 0 });
    await time.advance(10_000);
    await closed;
    expect(await run).toMatchObject({ code: "ENGINE_CLOSED" });
    expect([wire.count("renew"), wire.count("release")]).toEqual([0, 1]);
  });
});

/** A call that waits for another process, and has a claim of its own on the way for a minute. */
async function overtaken() {
  const shared = world({ guarantee: "at-least-once" });
  const other = otherProcess(shared, { guarantee: "at-least-once" });
  const held = await other.engine.begin("s", "k", null);
  if (held.kind !== "execute") throw new Error("expected a claim");
  const waiting = shared.engine.execute("s", "k", null, () => "mine", {
    onDuplicate: { waitMs: 60_000 },
  });
  await shared.time.advance(1_000);
  const sent = shared.wire.calls.find(({ operation }) => operation === "claim");
  await held.claim.release();
  // The duplicate arrives before the waiting call asks again.
  await shared.memory.claim(sent?.given as never);
  return { ...shared, other, waiting };
}

describe("a waiting call whose own claim is granted late", () => {
  test("runs under it at once", async () => {
    const { time, waiting } = await overtaken();
    await time.advance(1_000);
    expect(await waiting).toMatchObject({ value: "mine", attempt: 2 });
  });

  test("runs as another owner where an operator removed it unseen", async () => {
    const { time, waiting, other, wire } = await overtaken();
    await other.engine.remove("s", "k");
    const before = wire.count("claim");
    await time.advance(1_000);
    expect(await waiting).toMatchObject({ value: "mine", attempt: 3 });
    expect(wire.count("claim") - before).toBe(2);
  });
});

describe("a store that always says in progress with nothing left", () => {
  test("is not asked on and on", async () => {
    const barred = { outcome: "in-progress", attempt: 1, leaseRemainingMs: 0 } as const;
    let asked = 0;
    const store: Store = {
      ...memoryStore(),
      claim: async (requests) => {
        asked += 1;
        return requests.map(({ fingerprint }) => ({ ...barred, fingerprint }));
      },
    };
    const run = createEngine({ store }).execute("s", "k", null, () => 1);
    expect(await rejection(run)).toMatchObject({ code: "IN_PROGRESS" });
    expect(asked).toBe(3);
  });
});

describe("every error", () => {
  test("keeps its name, whatever a bundler calls its class", () => {
    const classes = Object.entries(idemkit).filter(([name]) => name.endsWith("Error"));
    expect(classes.length).toBeGreaterThan(10);
    for (const [name, value] of classes) {
      if (name === "IdempotencyError") continue;
      const Renamed = class extends (value as new (details: object) => Error) {};
      expect(new Renamed({}).name).toBe(name);
    }
  });
});
