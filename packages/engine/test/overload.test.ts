import { describe, expect, test } from "vitest";
import { BatchingFront } from "../src/batching-front.ts";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type IdempotencyError,
  memoryStore,
  type OpenState,
  type Store,
  StoreError,
} from "../src/index.ts";
import { Lifetime } from "../src/lifetime.ts";
import { Pace } from "../src/pace.ts";
import { storeClientOf } from "../src/store-client.ts";
import { gate, otherProcess, rejection, settled, VirtualTime, world } from "./world.ts";

const LATENCY_MS = 2_000;
const CALLERS = 5_000;
const STORE_TIMEOUT_MS = 5_000;
const LEASE_MS = 30_000;

/** An engine on a memory store whose lists take so long: half on the way there, half on the way back. */
function slowWorld(
  latencyOf: (operation: keyof Store) => number,
  options: Omit<EngineOptions, "store" | "runtime"> = {},
) {
  const time = new VirtualTime();
  const memory = memoryStore({ clock: time.clock });
  const claimed = new Set<string>();
  const counts = { claims: 0, releases: 0 };
  const halfway = (operation: keyof Store) =>
    new Promise<void>((resolve) => {
      time.runtime.schedule(resolve, latencyOf(operation) / 2);
    });
  const slow =
    <Entry, Result>(operation: keyof Store, ask: (list: readonly Entry[]) => Promise<Result>) =>
    async (list: readonly Entry[]): Promise<Result> => {
      if (operation === "claim") counts.claims += list.length;
      if (operation === "release") counts.releases += list.length;
      await halfway(operation);
      const result = await ask(list);
      await halfway(operation);
      return result;
    };
  const store: Store = {
    ...memory,
    claim: slow("claim", async (requests: Parameters<Store["claim"]>[0]) => {
      for (const { id } of requests) claimed.add(id.key);
      return await memory.claim(requests);
    }),
    renew: slow("renew", memory.renew),
    complete: slow("complete", memory.complete),
    release: slow("release", memory.release),
    read: slow("read", memory.read),
  };
  const engine = createEngine({ store, runtime: time.runtime, ...options });
  return { time, memory, store, engine, claimed, counts };
}

/** Calls for new keys, with the error of each that failed and the keys whose function ran. */
class Callers {
  readonly ran = new Set<string>();
  readonly errors = new Map<string, unknown>();
  readonly #engine: Engine;
  readonly #prefix: string;
  #keys = 0;

  constructor(engine: Engine, prefix = "k") {
    this.#engine = engine;
    this.#prefix = prefix;
  }

  call(count: number): Promise<unknown> {
    return Promise.all(Array.from({ length: count }, () => this.#call()));
  }

  get codes(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const error of this.errors.values()) {
      const { code, cause } = error as IdempotencyError;
      const name = (cause as { code?: string } | undefined)?.code ?? code;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  #call(): Promise<unknown> {
    const key = `${this.#prefix}${this.#keys}`;
    this.#keys += 1;
    const run = () => {
      this.ran.add(key);
      return 1;
    };
    return this.#engine.execute("s", key, null, run).catch((error: unknown) => {
      this.errors.set(key, error);
    });
  }
}

/** The keys whose outcome is open. */
async function openKeys(store: Store): Promise<readonly string[]> {
  const keys: string[] = [];
  for (const state of ["in-progress", "lapsed", "unknown"] satisfies OpenState[]) {
    let after: string | undefined;
    do {
      const page = await store.list({ state, limit: 1_000, ...(after && { after }) });
      keys.push(...page.records.map(({ id }) => id.key));
      after = page.next;
    } while (after !== undefined);
  }
  return keys;
}

async function neverRan(store: Store, { ran }: Callers): Promise<readonly string[]> {
  return (await openKeys(store)).filter((key) => !ran.has(key));
}

describe("5,000 callers at a store that takes two seconds a list", () => {
  for (const afterMs of [0, 1_000, 2_500, 5_500]) {
    test(`leave no key open that never ran, closed after ${afterMs} ms`, async () => {
      const { engine, time, memory, claimed } = slowWorld(() => LATENCY_MS);
      const callers = new Callers(engine);
      const ended = callers.call(CALLERS);
      await time.advance(afterMs);
      const closed = engine.close();
      await time.advance(10_000);
      await Promise.all([closed, ended]);
      expect(await neverRan(memory, callers)).toEqual([]);
      expect(await openKeys(memory)).toEqual([]);
      // Two lists of 256 at once, and as many again: the third would be two seconds late.
      expect(callers.ran.size).toBe(1_024);
      expect(claimed).toEqual(callers.ran);
      expect(time.timers).toBe(0);
    });
  }

  for (const graceMs of [0, 1_000, 2_500, 3_500]) {
    test(`leave open the claims that the store held up at the end of a grace of ${graceMs} ms`, async () => {
      const { engine, time, memory, claimed } = slowWorld(() => LATENCY_MS);
      const callers = new Callers(engine);
      const ended = callers.call(CALLERS);
      await time.advance(500);
      const sent = claimed.size;
      const closed = engine.close({ graceMs });
      await time.advance(graceMs);
      await closed;
      // In flight are two lists at most, and the store has decided neither of them.
      const atTheEnd = await neverRan(memory, callers);
      expect(atTheEnd.length).toBeLessThanOrEqual(512);
      await time.advance(10_000);
      await ended;
      expect(sent).toBe(0);
      // They are released once they are granted.
      expect(await neverRan(memory, callers)).toEqual([]);
      expect(callers.codes).toEqual({ ENGINE_CLOSED: CALLERS - callers.ran.size });
      expect(time.timers).toBe(0);
    });
  }

  test("get an error that says that nothing was sent, and a retry runs", async () => {
    const { engine, time, memory, claimed } = slowWorld(() => LATENCY_MS);
    const callers = new Callers(engine);
    const ended = callers.call(CALLERS);
    await time.advance(3 * LATENCY_MS);
    await ended;
    expect(callers.codes).toEqual({ NOT_SENT: CALLERS - 1_024 });
    for (const [key, error] of callers.errors) {
      expect(claimed.has(key)).toBe(false);
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toMatchObject({ code: "STORE_FAILED", operation: "claim", wasSent: false });
    }
    const [[key, error] = ["", undefined]] = callers.errors;
    expect(String(error)).toContain("Nothing was sent to the store");
    expect(String((error as Error).cause)).toMatch(/Nothing was sent.*Retry later.*same key/);
    const retry = engine.execute("s", key, null, () => "ran");
    await time.advance(3 * LATENCY_MS);
    expect(await retry).toMatchObject({ value: "ran", attempt: 1 });
    expect(await openKeys(memory)).toEqual([]);
  });

  test("give back nothing that was never sent", async () => {
    const { engine, time, counts } = slowWorld(() => LATENCY_MS);
    const callers = new Callers(engine);
    void callers.call(CALLERS);
    await time.advance(60_000);
    expect(counts).toEqual({ claims: 1_024, releases: 0 });
  });

  test("a steady stream of them leaves nothing open either", async () => {
    const { engine, time, memory } = slowWorld(() => LATENCY_MS);
    const callers = new Callers(engine);
    const calls: Promise<unknown>[] = [];
    for (let turn = 0; turn < 200; turn += 1) {
      calls.push(callers.call(50));
      await time.advance(100);
    }
    const closed = engine.close();
    await time.advance(10_000);
    await Promise.all([closed, ...calls]);
    expect(await openKeys(memory)).toEqual([]);
    expect(Object.keys(callers.codes).sort()).toEqual(["ENGINE_CLOSED", "NOT_SENT"]);
    // 256 a second, for 20 seconds and the rest of the last calls' time.
    expect(callers.ran.size).toBeGreaterThan(5_000);
  });
});

/** How a stall of the store looks from outside. */
const stalls = {
  /** Each list that comes meanwhile is held up until the stall is over. */
  "of the whole store": (nowMs: number, untilMs: number) => untilMs - nowMs,
  /** Each list that comes meanwhile takes as long as the stall does. */
  "of each list": (_: number, __: number, forMs: number) => forMs,
};

describe("a stall of twice the store's timeout", () => {
  for (const [name, latencyOf] of Object.entries(stalls)) {
    for (const perTurn of [1, 100]) {
      test(`${name} ends: calls succeed within a second, ${perTurn} every 50 ms`, async () => {
        const storeTimeoutMs = 2_000;
        const [beginsMs, endsMs] = [1_000, 1_000 + 2 * storeTimeoutMs];
        const world = slowWorld(
          () => {
            const nowMs = world.time.runtime.monotonicMs();
            const isStalled = nowMs >= beginsMs && nowMs < endsMs;
            return isStalled ? latencyOf(nowMs, endsMs, endsMs - beginsMs) : 2;
          },
          { storeTimeoutMs },
        );
        const { engine, time, memory } = world;
        const before = new Callers(engine, "before ");
        const after = new Callers(engine, "after ");
        const calls: Promise<unknown>[] = [];
        for (let turn = 0; turn < 120; turn += 1) {
          calls.push(before.call(perTurn));
          await time.advance(50);
        }
        expect(time.runtime.monotonicMs()).toBe(endsMs + 1_000);
        expect(before.errors.size).toBeGreaterThan(0);
        calls.push(after.call(perTurn));
        await time.advance(100);
        expect(after.ran.size).toBe(perTurn);
        expect(after.errors.size).toBe(0);
        await time.advance(60_000);
        await Promise.all(calls);
        expect(await openKeys(memory)).toEqual([]);
        expect(time.timers).toBe(0);
      });
    }
  }

  test("lets no calls be sent with less and less of their time left", async () => {
    const { engine, time, claimed, memory } = slowWorld(() => 2 * STORE_TIMEOUT_MS);
    const callers = new Callers(engine);
    const ended = callers.call(CALLERS);
    await time.advance(STORE_TIMEOUT_MS);
    await ended;
    expect(callers.codes).toEqual({ TIMED_OUT: 512, NOT_SENT: CALLERS - 512 });
    await time.advance(60_000);
    expect(claimed.size).toBe(512);
    expect(await openKeys(memory)).toEqual([]);
  });

  test("of one list holds up no other", async () => {
    let isFirst = true;
    const { engine, time, memory } = slowWorld((operation) => {
      const latencyMs = isFirst && operation === "claim" ? 2 * STORE_TIMEOUT_MS : 2;
      isFirst = false;
      return latencyMs;
    });
    const callers = new Callers(engine);
    const calls = [callers.call(1)];
    for (let turn = 0; turn < 300; turn += 1) {
      await time.advance(50);
      calls.push(callers.call(1));
    }
    await time.advance(10);
    await Promise.all(calls);
    // It is asked for again alone, and its own late result changes nothing.
    expect(callers.codes).toEqual({});
    expect(callers.ran.size).toBe(301);
    expect(await openKeys(memory)).toEqual([]);
  });
});

describe("a store that takes longer than its timeout", () => {
  test("is sent one claim at a time, until one is in time again", async () => {
    let latencyMs = 7_000;
    const { engine, time, memory, counts } = slowWorld((operation) =>
      operation === "claim" ? latencyMs : 2,
    );
    const callers = new Callers(engine);
    const calls: Promise<unknown>[] = [];
    const come = async (turns: number) => {
      for (let turn = 0; turn < turns; turn += 1) {
        calls.push(callers.call(10));
        await time.advance(100);
      }
    };
    await come(100);
    const before = counts.claims;
    await come(100);
    // Ten seconds of 100 calls each: without an estimate all of them would be sent.
    expect(counts.claims - before).toBeLessThanOrEqual(20);
    expect(counts.claims - before).toBeGreaterThanOrEqual(10);
    latencyMs = 2;
    await come(10);
    const after = new Callers(engine, "after ");
    calls.push(after.call(100));
    await time.advance(100);
    expect(after.ran.size).toBe(100);
    await time.advance(60_000);
    await Promise.all(calls);
    expect(callers.codes.QUEUE_FULL).toBeUndefined();
    expect(await openKeys(memory)).toEqual([]);
  });

  test("is asked at once after a result that came ten minutes late", async () => {
    let latencyMs = 600_000;
    const { engine, time } = slowWorld((operation) => (operation === "claim" ? latencyMs : 2));
    void engine.execute("s", "first", null, () => 1).catch(() => undefined);
    await time.advance(600_000);
    latencyMs = 2;
    const callers = new Callers(engine);
    for (let turn = 0; turn < 10; turn += 1) {
      void callers.call(1);
      await time.advance(100);
    }
    expect(callers.ran.size).toBe(10);
  });

  test("is judged less by it the longer ago it was", () => {
    const pace = new Pace();
    pace.answered(0, 8_000);
    const needed = (nowMs: number) => Math.round(pace.neededMs(nowMs));
    expect([8_000, 18_000, 38_000, 78_000].map(needed)).toEqual([8_000, 4_000, 2_000, 1_000]);
    pace.answered(78_000, 78_002);
    expect(needed(78_002)).toBe(250);
    // A list that was sent before the last one that was measured is older news.
    pace.answered(1_000, 79_000);
    pace.late(1_000, 79_000);
    expect(needed(78_002)).toBe(250);
    // One that is not back yet may take longer, and never shorter.
    pace.late(78_000, 78_003);
    expect(needed(78_002)).toBe(250);
    pace.late(78_000, 81_000);
    expect(needed(81_000)).toBe(3_000);
    expect(pace.neededAgainMs(81_000)).toBeLessThan(250);
  });
});

describe("a claim that is granted after its caller has got an error", () => {
  test("is released by its token, without a second claim", async () => {
    const { engine, time, memory, counts } = slowWorld((operation) =>
      operation === "claim" ? 7_000 : 2,
    );
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(STORE_TIMEOUT_MS);
    expect(await run).toMatchObject({ wasSent: true, cause: { code: "TIMED_OUT" } });
    const asked = counts.claims;
    expect(await openKeys(memory)).toEqual(["k"]);
    await time.advance(2_010);
    expect(await openKeys(memory)).toEqual([]);
    await time.advance(600_000);
    expect(counts.claims).toBe(asked);
    expect(time.timers).toBe(0);
  });

  test("lapses at once if it took over", async () => {
    const options = { guarantee: "at-least-once" } as const;
    const shared = world(options);
    const other = otherProcess(shared, options);
    const died = await other.engine.begin("s", "k", null);
    expect(died.kind).toBe("execute");
    void other.engine.close({ graceMs: 0 });
    await shared.time.advance(LEASE_MS + 1);
    shared.wire.delay("claim", 7_000, "answer");
    const run = rejection(shared.engine.execute("s", "k", null, () => 1));
    await shared.time.advance(7_010);
    expect(await run).toBeInstanceOf(StoreError);
    expect(await shared.engine.inspect("s", "k")).toMatchObject({ state: "lapsed", attempt: 2 });
    expect(shared.wire.count("release")).toBe(0);
  });

  for (const [lateMs, isReleased] of [
    [STORE_TIMEOUT_MS, true],
    [STORE_TIMEOUT_MS + 1, false],
  ] as const) {
    test(`${lateMs} ms after the end of its engine ${isReleased ? "is released" : "lapses"}`, async () => {
      const time = new VirtualTime();
      const memory = memoryStore({ clock: time.clock });
      let letGo: () => void = () => undefined;
      const held = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      let released = 0;
      const store: Store = {
        ...memory,
        claim: async (requests) => {
          const outcomes = await memory.claim(requests);
          await held;
          return outcomes;
        },
        release: async (claims) => {
          released += claims.length;
          return await memory.release(claims);
        },
      };
      const engine = createEngine({ store, runtime: time.runtime });
      const run = rejection(engine.execute("s", "k", null, () => 1));
      await time.advance(STORE_TIMEOUT_MS);
      await run;
      const closed = engine.close({ graceMs: 0 });
      await time.advance(0);
      await closed;
      await time.advance(lateMs);
      letGo();
      await time.advance(60_000);
      expect(released > 0).toBe(isReleased);
      expect(await openKeys(memory)).toHaveLength(isReleased ? 0 : 1);
      expect(time.timers).toBe(0);
    });
  }
});

describe("a list that is late", () => {
  test("settles its calls if it comes before their time is over", async () => {
    const { engine, time, wire } = world();
    wire.delay("claim", 4_000, "answer");
    const run = engine.execute("s", "k", null, () => "ran");
    await time.advance(4_000);
    expect(await run).toMatchObject({ value: "ran", attempt: 1 });
    expect(wire.count("release")).toBe(0);
  });

  test("changes nothing for a caller that runs under the same claim", async () => {
    const { engine, time, wire } = world();
    wire.delay("claim", 4_000, "answer");
    const running = gate<string>();
    const run = engine.execute("s", "k", null, running.fn);
    await time.advance(100);
    wire.delay("claim", 0);
    // Asked again alone, it is granted at half of its time; the list's own result comes while it runs.
    await time.advance(2_500);
    expect(running.runs).toBe(1);
    await time.advance(2_000);
    expect(await engine.inspect("s", "k")).toMatchObject({ state: "in-progress" });
    running.open("ran");
    expect(await run).toMatchObject({ value: "ran", recorded: true });
    await time.advance(60_000);
    expect(running.runs).toBe(1);
    expect(wire.count("release")).toBe(0);
    expect(time.timers).toBe(0);
  });
});

describe("claims that are being given back", () => {
  test("leave room in the queue for a second burst of 100,000 calls", async () => {
    const { engine, time, memory } = slowWorld(() => LATENCY_MS);
    const first = new Callers(engine, "first ");
    const second = new Callers(engine, "second ");
    const calls = [first.call(100_000)];
    // By then the old engine had put all that had failed into the queue of claims.
    await time.advance(5_300);
    calls.push(second.call(100_000));
    await time.advance(10_000);
    await Promise.all(calls);
    expect([first.ran.size, second.ran.size]).toEqual([1_024, 1_024]);
    expect(Object.keys(first.codes)).toEqual(["NOT_SENT"]);
    expect(Object.keys(second.codes)).toEqual(["NOT_SENT"]);
    expect(await openKeys(memory)).toEqual([]);
  }, 120_000);

  test("are bounded, and those that may take over leave room for the others", async () => {
    const time = new VirtualTime();
    const memory = memoryStore({ clock: time.clock });
    let isLost = true;
    const claimed = new Set<string>();
    const claim: Store["claim"] = async (requests) => {
      const outcomes = await memory.claim(requests);
      if (isLost) throw new Error("the connection broke");
      for (const { id } of requests) claimed.add(id.key.split(" ")[0] + id.key);
      return outcomes;
    };
    const engine = createEngine({ store: { ...memory, claim }, runtime: time.runtime });
    const rerun = new Callers(engine.with({ guarantee: "at-least-once" }), "rerun ");
    const block = new Callers(engine, "block ");
    const calls = [rerun.call(5_100), block.call(5_100)];
    await time.advance(105);
    await Promise.all(calls);
    isLost = false;
    await time.advance(1_000);
    const open = (await openKeys(memory)).map((key) => key.split(" ")[0]);
    expect(open.filter((kind) => kind === "rerun")).toHaveLength(100);
    expect(open.filter((kind) => kind === "block")).toHaveLength(100);
    expect(claimed.size).toBe(10_000);
  }, 60_000);

  test("wait until no live claim does", async () => {
    const { time, front, lists, letGo } = heldFront();
    const claims = Array.from({ length: 600 }, (_, index) =>
      front.claim(requestOf(`live ${index}`), 60_000),
    );
    const terms = { lifetime: { endsAtMs: Number.POSITIVE_INFINITY }, onLate: () => undefined };
    const again = Array.from({ length: 600 }, (_, index) =>
      front.claimInBackground(requestOf(`again ${index}`), 60_000, terms),
    );
    const seen: string[] = [];
    for (let round = 0; round < 7; round += 1) {
      await settled();
      seen.push(lists.map((keys) => `${keys.length} ${keys[0]?.split(" ")[0]}`).join(", "));
      letGo(1);
    }
    await Promise.all([...claims, ...again]);
    expect(seen.at(-1)).toBe("256 live, 256 live, 88 live, 256 again, 256 again, 88 again");
    // One of two places stays free for live claims.
    expect(seen.at(3)).toBe("256 live, 256 live, 88 live, 256 again");
    expect(time.timers).toBe(0);
  });

  test("are finished within the grace of a close, if the store lets them", async () => {
    const { engine, time, wire, memory } = world();
    // The process never learns that it was granted.
    wire.fail("claim", "answer lost", 3);
    const run = rejection(engine.execute("s", "k", null, () => 1, { leaseMs: 60_000 }));
    await time.advance(105);
    await run;
    wire.fail("claim", "refused", 3);
    await time.advance(400);
    expect(await openKeys(memory)).toEqual(["k"]);
    const closed = engine.close({ graceMs: 1_000 });
    await time.advance(1_000);
    await closed;
    expect(await openKeys(memory)).toEqual([]);
    expect(time.timers).toBe(0);
  });

  test("that wait for a late result are asked for at once when the engine closes", async () => {
    const { engine, time, wire, memory } = world();
    wire.delay("claim", 600_000, "answer");
    const run = rejection(engine.execute("s", "k", null, () => 1));
    await time.advance(STORE_TIMEOUT_MS);
    await run;
    wire.delay("claim", 0);
    expect(await openKeys(memory)).toEqual(["k"]);
    const closed = engine.close();
    await time.advance(0);
    await closed;
    expect(await openKeys(memory)).toEqual([]);
  });
});

describe("a full queue", () => {
  test("rejects with its own code, and says that nothing was sent", async () => {
    const { engine, time, store, claimed } = slowWorld(() => LATENCY_MS);
    const client = storeClientOf(store, time.runtime);
    const lifetime = new Lifetime(time.runtime);
    const claim = (_: unknown, index: number) =>
      rejection(client.claim(requestOf(`${index}`), 0, 10, lifetime));
    const sent = Array.from({ length: 512 }, claim);
    await settled();
    const waiting = Array.from({ length: 100_000 }, claim);
    const error = await rejection(engine.execute("s", "one too many", null, () => 1));
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({
      code: "STORE_FAILED",
      operation: "claim",
      wasSent: false,
      message: "Nothing was sent to the store to claim (QUEUE_FULL). See `cause`.",
      cause: { code: "QUEUE_FULL" },
    });
    expect(String((error as Error).cause)).toMatch(/Nothing was sent.*Retry later.*same key/);
    await time.advance(10);
    const wasSent = async (calls: readonly Promise<unknown>[]) =>
      new Set((await Promise.all(calls)).map((each) => (each as StoreError).wasSent));
    expect([await wasSent(sent), await wasSent(waiting)]).toEqual([
      new Set([true]),
      new Set([false]),
    ]);
    await time.advance(LATENCY_MS);
    expect(claimed.has("one too many")).toBe(false);
  }, 60_000);
});

function requestOf(key: string) {
  const id = { digest: key.padStart(32, "0"), scope: "1:s", key };
  const times = { leaseMs: LEASE_MS, retentionMs: 1e6 };
  return { id, owner: key, fingerprint: "f", ...times, takeOver: false };
}

/** A batching front whose lists of claims wait until the test lets them go. */
function heldFront() {
  const time = new VirtualTime();
  const memory = memoryStore({ clock: time.clock });
  const lists: (readonly string[])[] = [];
  const gates: (() => void)[] = [];
  const claim: Store["claim"] = async (requests) => {
    lists.push(requests.map(({ id }) => id.key));
    await new Promise<void>((resolve) => gates.push(resolve));
    return await memory.claim(requests);
  };
  const front = new BatchingFront({ ...memory, claim }, time.runtime);
  const letGo = (count: number) => {
    for (const open of gates.splice(0, count)) open();
  };
  return { time, front, lists, letGo };
}
