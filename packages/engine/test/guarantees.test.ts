import { describe, expect, test } from "vitest";
import {
  InProgressError,
  LeaseLostError,
  type OperationOptions,
  OutcomeUnknownError,
  ReplayedError,
  StoreError,
} from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

/** A call whose process dies in the middle: nothing of it is heard again, its timers included. */
async function abandoned(
  shared: ReturnType<typeof world>,
  payload: unknown = null,
  options: OperationOptions = {},
) {
  const dead = otherProcess(shared, options);
  const begun = await dead.engine.begin("orders", "k", payload);
  if (begun.kind !== "execute") throw new Error("expected a claim");
  for (const operation of ["renew", "complete", "release"] as const) {
    dead.wire.fail(operation, "hangs", Number.POSITIVE_INFINITY);
  }
  return { ...dead, claim: begun.claim };
}

describe("when the process that ran it is gone", () => {
  test("a duplicate is told that it runs, until the lease is over", async () => {
    const shared = world();
    await abandoned(shared);
    await shared.time.advance(LEASE_MS - 1);
    const run = shared.engine.execute("orders", "k", null, () => 1);
    expect(await rejection(run)).toBeInstanceOf(InProgressError);
  });

  test("at-most-once reports the outcome as unknown, however often it is asked", async () => {
    const shared = world({ replayMs: 400_000 });
    const { claim } = await abandoned(shared, null, { replayMs: 400_000 });
    await shared.time.advance(LEASE_MS);
    for (let asked = 0; asked < 3; asked += 1) {
      const error = await rejection(shared.engine.execute("orders", "k", null, () => 1));
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      expect(error).toMatchObject({ reason: "lapsed", attempt: 1, token: claim.token });
    }
    await shared.time.advance(800_000);
    expect(await rejection(shared.engine.execute("orders", "k", null, () => 1))).toBeInstanceOf(
      OutcomeUnknownError,
    );
  });

  test("at-most-once still lets the late owner complete", async () => {
    const shared = world();
    const dead = await abandoned(shared);
    await shared.time.advance(2 * LEASE_MS);
    await rejection(shared.engine.execute("orders", "k", null, () => 1));
    dead.wire.heal();
    expect(await dead.claim.complete("late")).toEqual({ recorded: true });
    const again = await shared.engine.execute("orders", "k", null, () => "other");
    expect(again).toMatchObject({ value: "late", replayed: true });
  });

  test("at-least-once runs again under a greater token, and refuses the late owner", async () => {
    const shared = world({ guarantee: "at-least-once" });
    const dead = await abandoned(shared);
    await shared.time.advance(LEASE_MS);
    const next = await shared.engine.execute("orders", "k", null, ({ token }) => token);
    expect(next.attempt).toBe(2);
    expect(next.value).toBeGreaterThan(dead.claim.token);
    expect(shared.events.map(({ name }) => name)).toEqual(["taken-over", "completed"]);
    dead.wire.heal();
    const late = await rejection(dead.claim.complete("late"));
    expect(late).toBeInstanceOf(LeaseLostError);
    expect(late).toMatchObject({ value: "late", token: dead.claim.token });
    const again = await shared.engine.execute("orders", "k", null, () => 0);
    expect(again.value).toBe(next.value);
  });

  test("a conflict is found before an unknown outcome, and takes nothing over", async () => {
    const shared = world({ guarantee: "at-least-once" });
    await abandoned(shared, "first");
    await shared.time.advance(LEASE_MS);
    const error = await rejection(shared.engine.execute("orders", "k", "other", () => 1));
    expect(error).toMatchObject({ code: "PAYLOAD_CONFLICT" });
    expect(await shared.engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("onLapsed overrides the guarantee, either way", async () => {
    const shared = world();
    await abandoned(shared);
    await shared.time.advance(LEASE_MS);
    const blocked = shared.engine.execute("orders", "k", null, () => 1, {
      guarantee: "at-least-once",
      onLapsed: "block",
    });
    expect(await rejection(blocked)).toBeInstanceOf(OutcomeUnknownError);
    const rerun = shared.engine.execute("orders", "k", null, () => 1, { onLapsed: "rerun" });
    expect(await rerun).toMatchObject({ value: 1, attempt: 2 });
  });

  test("a waiting duplicate of another process takes over, or hears of the doubt", async () => {
    const shared = world({ onDuplicate: { waitMs: 2 * LEASE_MS } });
    await abandoned(shared);
    const blocked = rejection(shared.engine.execute("orders", "k", null, () => 1));
    await shared.time.advance(LEASE_MS + 200);
    expect(await blocked).toBeInstanceOf(OutcomeUnknownError);
    const rerun = await shared.engine.execute("orders", "k", null, () => 1, {
      onLapsed: "rerun",
    });
    expect(rerun.attempt).toBe(2);
  });
});

describe("duplicates in another process", () => {
  test("get the outcome soon after it is there, by few reads for all of them", async () => {
    const shared = world();
    const other = otherProcess(shared, { onDuplicate: { waitMs: 60_000 } });
    const running = gate<string>();
    const first = shared.engine.execute("orders", "k", null, running.fn);
    await settled();
    const crowd = Array.from({ length: 50 }, () =>
      other.engine.execute("orders", "k", null, () => "no"),
    );
    await shared.time.advance(1_000);
    const reads = other.wire.count("read");
    expect(reads).toBeGreaterThan(5);
    expect(reads).toBeLessThan(20);
    running.open("done");
    await first;
    await shared.time.advance(150);
    const outcomes = await Promise.all(crowd);
    expect(outcomes.every(({ value, replayed }) => value === "done" && replayed)).toBe(true);
    expect(other.wire.count("claim")).toBe(2);
    expect(other.events.filter(({ name }) => name === "waited")).toHaveLength(50);
    expect(shared.time.timers).toBe(0);
  });

  test("are polled in one list, whatever their keys", async () => {
    const shared = world();
    const other = otherProcess(shared, { onDuplicate: { waitMs: 60_000 } });
    const running = gate<number>();
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
    const firsts = keys.map((key) => shared.engine.execute("orders", key, null, running.fn));
    await settled();
    const waiting = keys.map((key) => other.engine.execute("orders", key, null, () => -1));
    await shared.time.advance(10);
    const lists = other.wire.calls.filter(({ operation }) => operation === "read");
    expect(lists).toHaveLength(1);
    expect(lists[0]?.given).toHaveLength(20);
    running.open(1);
    await Promise.all(firsts);
    await shared.time.advance(200);
    expect((await Promise.all(waiting)).every(({ value }) => value === 1)).toBe(true);
  });

  test("hear of a dead store instead of waiting on", async () => {
    const shared = world();
    const other = otherProcess(shared, { onDuplicate: { waitMs: 60_000 } });
    const running = gate<number>();
    const first = shared.engine.execute("orders", "k", null, running.fn);
    await settled();
    const waiting = rejection(other.engine.execute("orders", "k", null, () => 1));
    await settled();
    for (const operation of ["read", "claim"] as const) {
      other.wire.fail(operation, "refused", Number.POSITIVE_INFINITY);
    }
    await shared.time.advance(2_000);
    expect(await waiting).toBeInstanceOf(StoreError);
    running.open(1);
    await first;
  });
});

describe("when answers are lost on the way", () => {
  test("a claim recognises itself: its function runs, once", async () => {
    const { engine, wire, time } = world();
    wire.fail("claim", "answer lost");
    const outcome = engine.execute("orders", "k", null, () => 1);
    await time.advance(100);
    expect(await outcome).toMatchObject({ value: 1, attempt: 1, recorded: true });
    expect(wire.count("claim")).toBe(2);
  });

  test("a completion recognises itself: its outcome is recorded", async () => {
    const { engine, wire, time } = world();
    wire.fail("complete", "answer lost");
    const outcome = engine.execute("orders", "k", null, () => 1);
    await time.advance(100);
    expect(await outcome).toMatchObject({ recorded: true });
    expect((await engine.execute("orders", "k", null, () => 2)).value).toBe(1);
  });

  test("a release recognises itself", async () => {
    const { engine, wire, time, events } = world({ onError: "release" });
    wire.fail("release", "answer lost");
    const run = rejection(engine.execute("orders", "k", null, () => Promise.reject(1)));
    await time.advance(100);
    expect(await run).toBe(1);
    expect(events.map(({ name }) => name)).toEqual(["claimed", "released"]);
  });

  test("a failure is recorded once, and replayed", async () => {
    const { engine, wire, time } = world();
    wire.fail("complete", "answer lost");
    const boom = new Error("boom");
    const run = rejection(engine.execute("orders", "k", null, () => Promise.reject(boom)));
    await time.advance(100);
    expect(await run).toBe(boom);
    expect(await rejection(engine.execute("orders", "k", null, () => 1))).toBeInstanceOf(
      ReplayedError,
    );
  });
});

describe("without a store", () => {
  test("nothing runs, and the driver's error is the cause", async () => {
    const { engine, wire, time, events } = world();
    wire.fail("claim", "refused", Number.POSITIVE_INFINITY);
    const running = gate<number>();
    const error = rejection(engine.execute("orders", "k", null, running.fn));
    await time.advance(1_000);
    expect(await error).toBeInstanceOf(StoreError);
    expect(await error).toMatchObject({
      code: "STORE_FAILED",
      operation: "claim",
      cause: { code: "ECONNREFUSED" },
    });
    expect(((await error) as Error).message).toContain("ECONNREFUSED");
    expect(((await error) as Error).message).not.toContain("secret-row-details");
    expect(running.runs).toBe(0);
    expect(events.map(({ name }) => name)).toEqual(["store-error"]);
  });

  test("a store that never answers costs storeTimeoutMs and no more", async () => {
    const { engine, wire, time } = world({ storeTimeoutMs: 700 });
    wire.fail("claim", "hangs", Number.POSITIVE_INFINITY);
    const running = gate<number>();
    let error: unknown;
    const call = rejection(engine.execute("orders", "k", null, running.fn)).then((reason) => {
      error = reason;
    });
    await time.advance(699);
    expect(error).toBeUndefined();
    await time.advance(1);
    await call;
    expect(error).toMatchObject({ operation: "claim", cause: { code: "TIMED_OUT" } });
    expect(running.runs).toBe(0);
  });

  test("a claim given up is given back: the key is free once the store is", async () => {
    const { engine, wire, time } = world();
    wire.fail("claim", "answer lost", 3);
    const error = rejection(engine.execute("orders", "k", null, () => 1));
    await time.advance(1_000);
    expect(await error).toBeInstanceOf(StoreError);
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "released" });
    expect((await engine.execute("orders", "k", null, () => 2)).value).toBe(2);
    expect(time.timers).toBe(0);
  });

  test("a value whose completion is lost is real, and said not to be recorded", async () => {
    const { engine, wire, time, events } = world();
    wire.fail("complete", "refused", Number.POSITIVE_INFINITY);
    const outcome = engine.execute("orders", "k", null, () => "charged");
    await time.advance(1_000);
    expect(await outcome).toMatchObject({ value: "charged", replayed: false, recorded: false });
    expect(events.map(({ name }) => name)).toEqual(["claimed", "store-error", "completion-lost"]);
    expect(await rejection(engine.execute("orders", "k", null, () => 1))).toBeInstanceOf(
      InProgressError,
    );
    await time.advance(LEASE_MS);
    expect(await rejection(engine.execute("orders", "k", null, () => 1))).toBeInstanceOf(
      OutcomeUnknownError,
    );
    expect(time.timers).toBe(0);
  });

  test("a failure whose record is lost is still the caller's error", async () => {
    const { engine, wire, time, events } = world();
    wire.fail("complete", "refused", Number.POSITIVE_INFINITY);
    const boom = new Error("boom");
    const run = rejection(engine.execute("orders", "k", null, () => Promise.reject(boom)));
    await time.advance(1_000);
    expect(await run).toBe(boom);
    expect(events.at(-1)?.name).toBe("completion-lost");
  });
});

describe("a body that cannot be read back", () => {
  const tampered = ["", "xml:<a/>", "json:{", "error:{", "error:[1", "none"];

  for (const body of tampered) {
    test(`«${body}» fails closed and is not shown`, async () => {
      const { engine, memory } = world();
      await engine.execute("orders", "k", null, () => 1);
      const record = await engine.inspect("orders", "k");
      const id = { digest: record?.digest ?? "", scope: "", key: "" };
      await memory.remove(id, record?.token ?? 0);
      const owner = "tampered";
      const claim = { id, owner, leaseMs: 1e6, retentionMs: 1e6, takeOver: false };
      const [view] = await memory.read([id]);
      await memory.claim([{ ...claim, fingerprint: view?.fingerprint ?? "" }]);
      const token = (await memory.read([id]))[0]?.token ?? 0;
      await memory.complete([{ id, owner, token, status: "succeeded", body }]);
      const error = await rejection(engine.execute("orders", "k", null, () => 2));
      expect(error).toBeInstanceOf(StoreError);
      expect(String((error as Error).cause)).toContain("cannot be read");
    });
  }

  test("a fingerprint of another version is no conflict, but cannot be compared", async () => {
    const { engine, memory } = world();
    await engine.execute("orders", "other", null, () => 1);
    const id = {
      digest: (await engine.inspect("orders", "other"))?.digest ?? "",
      scope: "",
      key: "",
    };
    const [view] = await memory.read([id]);
    await memory.remove(id, view?.token ?? 0);
    const request = { id, owner: "newer", leaseMs: 1e6, retentionMs: 1e6, takeOver: false };
    await memory.claim([{ ...request, fingerprint: "2:abc" }]);
    const error = await rejection(engine.execute("orders", "other", null, () => 2));
    expect(error).toBeInstanceOf(StoreError);
    expect(String((error as Error).cause)).toContain("version");
  });
});
