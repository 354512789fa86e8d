import { describe, expect, test } from "vitest";
import { BatchingFront } from "../src/batching-front.ts";
import {
  type Claimed,
  type ClaimRequest,
  type Completion,
  createEngine,
  memoryStore,
  type Renewal,
  type Store,
  type Transacted,
  type TransactionalStore,
} from "../src/index.ts";
import { gate, otherProcess, rejection, settled, VirtualTime, world } from "./world.ts";

const LEASE_MS = 3_000;
const TIMEOUT_MS = 5_000;
const RETRYING = { guarantee: "at-least-once", leaseMs: LEASE_MS } as const;

describe("a lease is counted from when its renewal was sent,", () => {
  test("so that the signal is aborted before another process can take over", async () => {
    const shared = world(RETRYING);
    const { engine, time, wire } = shared;
    const running = gate<number>();
    let signal: AbortSignal | undefined;
    const run = engine.execute("orders", "k", null, (context) => {
      signal = context.signal;
      return running.fn();
    });
    wire.delay("renew", 800, "answer");
    await time.advance(LEASE_MS / 3);
    expect(wire.count("renew")).toBe(1);
    wire.fail("renew", "refused", Number.POSITIVE_INFINITY);
    await time.advance(LEASE_MS - 1);
    expect(signal?.aborted).toBe(false);
    await time.advance(1);
    const other = otherProcess(shared, RETRYING);
    await other.engine.execute("orders", "k", null, () => {
      expect(signal?.aborted).toBe(true);
    });
    running.open(1);
    expect(await rejection(run)).toMatchObject({ code: "LEASE_LOST" });
  });

  test("also if a step has renewed it", async () => {
    const { engine, time, wire } = world({ ...RETRYING, steps: true });
    const running = gate<number>();
    const beforeStep = gate<void>();
    let signal: AbortSignal | undefined;
    const run = engine.execute("orders", "k", null, async (context) => {
      signal = context.signal;
      await beforeStep.fn();
      return await context.step("charge", running.fn);
    });
    wire.delay("renew", 800, "answer");
    await time.advance(500);
    beforeStep.open();
    await settled();
    expect(wire.count("renew")).toBe(1);
    wire.fail("renew", "refused", Number.POSITIVE_INFINITY);
    await time.advance(LEASE_MS - 1);
    expect(running.runs).toBe(1);
    expect(signal?.aborted).toBe(false);
    await time.advance(1);
    expect(signal?.aborted).toBe(true);
    running.open(1);
    await Promise.all([run, time.advance(2 * TIMEOUT_MS)]);
  });
});

test("a take-over that is given up lapses at once, and no renewal in flight revives it", async () => {
  const shared = world(RETRYING);
  const { engine, time, wire } = shared;
  const dead = otherProcess(shared, RETRYING);
  dead.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
  await dead.engine.begin("orders", "k", null);
  await time.advance(LEASE_MS);
  const running = gate<number>();
  const run = rejection(engine.execute("orders", "k", null, running.fn));
  // The lapse is on its way to the store when the renewal of the same claim is due.
  await time.advance(LEASE_MS / 3 - 10);
  wire.delay("renew", 500);
  running.fail(new Error("declined"));
  await time.advance(600);
  expect(await run).toMatchObject({ message: "declined" });
  const third = otherProcess(shared, RETRYING);
  const outcome = await third.engine.execute("orders", "k", null, () => 3);
  expect(outcome).toMatchObject({ value: 3, attempt: 3, replayed: false });
});

test("a claim that was lost on its way is given back without taking over another one", async () => {
  const shared = world(RETRYING);
  const { engine, time, wire } = shared;
  const running = gate<number>();
  wire.fail("renew", "refused", Number.POSITIVE_INFINITY);
  const run = engine.execute("orders", "k", null, running.fn);
  await time.advance(LEASE_MS + 1_000);
  const other = otherProcess(shared, RETRYING);
  other.wire.fail("claim", "refused", 3);
  const failed = rejection(other.engine.execute("orders", "k", null, () => 2));
  await time.advance(3_000);
  expect(await failed).toMatchObject({ code: "STORE_FAILED" });
  // It was given back by now, as its own claim once more, and the lapsed claim is still its owner's.
  expect(other.wire.count("claim")).toBeGreaterThan(3);
  running.open(1);
  expect(await run).toMatchObject({ value: 1, attempt: 1, recorded: true });
  const again = await other.engine.execute("orders", "k", null, () => 2);
  expect(again).toMatchObject({ value: 1, replayed: true });
});

/** A store whose lists, with their entries, wait until the test lets all of them go. */
function heldStore(inner: Store = memoryStore()) {
  const sent: unknown[] = [];
  let waiting: (() => void)[] = [];
  const through =
    <Entry, Answer>(ask: (entries: readonly Entry[]) => Promise<readonly Answer[]>) =>
    async (entries: readonly Entry[]) => {
      sent.push(...entries);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return await ask(entries);
    };
  const store: Store = {
    ...inner,
    claim: through(inner.claim),
    complete: through(inner.complete),
  };
  const letGo = async () => {
    while (waiting.length > 0) {
      const now = waiting;
      waiting = [];
      for (const go of now) go();
      await settled();
    }
  };
  return { store, sent, letGo };
}

describe("calls for one record reach the store in the order in which they were made,", () => {
  const idOf = (name: string) => ({ digest: name.padStart(32, "0"), scope: "1:s", key: name });

  test("also if the first of them has to wait because a list has become too large", async () => {
    const { store, sent, letGo } = heldStore();
    const front = new BatchingFront(store, new VirtualTime().runtime);
    const complete = (name: string, body: string) => {
      const claim = { id: idOf(name), owner: "owner", token: 1 };
      const completion = { ...claim, status: "succeeded", body, retentionMs: 1e6 } as const;
      return front.complete(completion, TIMEOUT_MS);
    };
    const calls = [
      complete("large", "x".repeat(900_000)),
      complete("same", "y".repeat(400_000)),
      complete("same", "z"),
    ];
    await settled();
    await letGo();
    await Promise.all(calls);
    const bodies = sent.map((entry) => (entry as Completion).body[0]);
    expect(bodies).toEqual(["x", "y", "z"]);
  });

  test("also if more calls wait than fit into a list", async () => {
    const { store, sent, letGo } = heldStore();
    const front = new BatchingFront(store, new VirtualTime().runtime);
    const claim = (name: string, owner: string) => {
      const times = { leaseMs: 30_000, retentionMs: 1e6 };
      const request = { id: idOf(name), owner, fingerprint: "f", takeOver: false, ...times };
      return front.claim(request, TIMEOUT_MS);
    };
    const calls = [claim("same", "first"), claim("same", "second")];
    for (let index = 0; index < 400; index += 1) calls.push(claim(`${index}`, "other"));
    calls.push(claim("same", "third"));
    await settled();
    await letGo();
    await Promise.all(calls);
    const owners = sent.map((entry) => (entry as ClaimRequest).owner);
    expect(owners.filter((owner) => owner !== "other")).toEqual(["first", "second", "third"]);
  });
});

describe("while a step runs, no end of its claim is written, and its result is kept first:", () => {
  const ends = {
    fail: async (claim: Claim) => await claim.fail(new Error("declined")),
    hold: async (claim: Claim) => await claim.hold(new Error("declined")),
    complete: async (claim: Claim) => await claim.complete("done"),
  };
  type Claim = Extract<
    Awaited<ReturnType<ReturnType<typeof world>["engine"]["begin"]>>,
    { kind: "execute" }
  >["claim"];

  /** The calls to the store after the step is over, if the claim ends while its step runs. */
  async function endedInside(end: (claim: Claim) => Promise<unknown>) {
    const { engine, time, wire } = world({ steps: true });
    const begun = await engine.begin("orders", "k", null);
    if (begun.kind !== "execute") return expect.unreachable();
    const charging = gate<string>();
    const step = begun.claim.step("charge", charging.fn);
    await settled();
    const ended = end(begun.claim);
    await time.advance(1_000);
    expect(charging.runs).toBe(1);
    expect(wire.count("complete")).toBe(0);
    charging.open("ch-1");
    await ended;
    expect(await step).toBe("ch-1");
    return wire.calls;
  }

  test.each(Object.entries(ends))("%s", async (_name, end) => {
    const calls = await endedInside(end);
    expect(calls.map(({ operation }) => operation)).toEqual([
      "claim",
      "renew",
      "renew",
      "complete",
    ]);
    const renewals = calls[2]?.given as readonly Renewal[] | undefined;
    expect(renewals?.[0]?.checkpoint?.value).toContain("ch-1");
  });

  test.each(Object.entries(ends))(
    "%s, and a step that threw is taken out of the record first",
    async (_name, end) => {
      const { engine, wire } = world({ steps: true });
      const begun = await engine.begin("orders", "k", null);
      if (begun.kind !== "execute") return expect.unreachable();
      const charge = () => Promise.reject(new Error("declined"));
      await rejection(begun.claim.step("charge", charge));
      await end(begun.claim);
      const operations = wire.calls.map(({ operation }) => operation);
      expect(operations).toEqual(["claim", "renew", "renew", "complete"]);
      const found = await engine.inspect("orders", "k");
      expect(JSON.stringify(found?.steps)).not.toContain("charge");
    },
  );

  test("a function that throws", async () => {
    const { engine, time, wire } = world({ steps: true });
    const charging = gate<string>();
    const run = rejection(
      engine.execute("orders", "k", null, async ({ step }) => {
        void step("charge", charging.fn);
        await settled();
        throw new Error("declined");
      }),
    );
    await time.advance(1_000);
    expect(charging.runs).toBe(1);
    expect(wire.count("complete")).toBe(0);
    charging.open("ch-1");
    expect(await run).toMatchObject({ message: "declined" });
    const operations = wire.calls.map(({ operation }) => operation);
    expect(operations).toEqual(["claim", "renew", "renew", "complete"]);
  });
});

describe("an outcome that an operator has recorded in the owner's name", () => {
  /**
   * A store whose commit is lost: before the next round asks, an operator has recorded another value
   * with the same status, which the contract lets operators do as the owner.
   */
  function settledBehind() {
    const shared = world();
    const { store } = shared.wire;
    const transact: TransactionalStore<undefined, false>["transact"] = async (request, work) => {
      const [granted] = await store.claim([request]);
      if (granted?.outcome !== "claimed") return granted as Transacted;
      const completion = await work(undefined, granted as Claimed);
      await store.complete([{ ...completion, body: 'json:"settled"' }]);
      const [found] = await store.claim([request]);
      return found as Transacted;
    };
    const transactional: TransactionalStore<undefined, false> = {
      ...store,
      transact,
      bind: () => expect.unreachable(),
    };
    return createEngine({ store: transactional, runtime: shared.time.runtime });
  }

  test("is not taken for the commit of a transaction with another value", async () => {
    const outcome = await settledBehind().transaction("orders", "k", null, () => "own");
    expect(outcome).toMatchObject({ value: "settled", replayed: true });
  });

  test("is not taken for the commit of a transaction under a claim with another value", async () => {
    const engine = settledBehind();
    const run = engine.execute("orders", "k", null, ({ transaction }) => transaction(() => "own"));
    expect(await rejection(run)).toMatchObject({ code: "LEASE_LOST" });
    const outcome = await engine.execute("orders", "k", null, () => "again");
    expect(outcome).toMatchObject({ value: "settled", replayed: true });
  });
});

describe("maxResultBytes counts bytes of UTF-8:", () => {
  /** As JSON it has 7 UTF-16 units and 12 bytes. */
  const result = "ééééé";
  const call = async (maxResultBytes: number) => {
    const { engine } = world({ maxResultBytes });
    await engine.execute("orders", "k", null, () => result);
    return await engine.execute("orders", "k", null, () => "again");
  };

  test("a result with fewer characters and more bytes is not kept", async () => {
    expect(await rejection(call(11))).toMatchObject({ code: "RESULT_UNAVAILABLE" });
  });

  test("a result with exactly as many bytes is kept", async () => {
    expect(await call(12)).toMatchObject({ value: result, replayed: true });
  });
});
