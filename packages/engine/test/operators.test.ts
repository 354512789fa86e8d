import { describe, expect, test } from "vitest";
import { LeaseLostError, ReplayedError, SettleRefusedError, StoreError } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;
const decision = { by: "ann", why: "the provider's ledger shows the charge" } as const;

/** A world in which the call for key `k` was begun by a process that is gone. */
async function lapsedWorld() {
  const shared = world();
  const dead = otherProcess(shared);
  const begun = await dead.engine.begin(["tenant", "orders"], "k", null);
  if (begun.kind !== "execute") throw new Error("expected a claim");
  for (const operation of ["renew", "complete", "release"] as const) {
    dead.wire.fail(operation, "hangs", Number.POSITIVE_INFINITY);
  }
  await shared.time.advance(LEASE_MS);
  return { ...shared, dead, claim: begun.claim };
}

const scope = ["tenant", "orders"];

describe("settle", () => {
  test("as succeeded: duplicates get the operator's value", async () => {
    const { engine, events, claim } = await lapsedWorld();
    await engine.settle(scope, "k", { as: "succeeded", value: { id: 7 }, ...decision });
    const again = await engine.execute(scope, "k", null, () => ({ id: 0 }));
    expect(again).toMatchObject({ value: { id: 7 }, replayed: true });
    expect(await engine.inspect(scope, "k")).toMatchObject({ status: "succeeded", note: decision });
    expect(events.find(({ name }) => name === "settled")?.event).toMatchObject({
      as: "succeeded",
      token: claim.token,
      ...decision,
    });
  });

  test("as failed: duplicates get ReplayedError", async () => {
    const { engine } = await lapsedWorld();
    await engine.settle(scope, "k", { as: "failed", error: new Error("not charged"), ...decision });
    const error = await rejection(engine.execute(scope, "k", null, () => 1));
    expect(error).toBeInstanceOf(ReplayedError);
    expect(error).toMatchObject({ cause: { message: "not charged" } });
  });

  test("as released: the next caller runs, and the reason stays until then", async () => {
    const { engine } = await lapsedWorld();
    await engine.settle(scope, "k", { as: "released", ...decision });
    expect(await engine.inspect(scope, "k")).toMatchObject({ state: "released", note: decision });
    expect(await engine.execute(scope, "k", null, () => 1)).toMatchObject({ attempt: 2 });
  });

  test("keeps the decision for the engine's own replayMs, however old the record is", async () => {
    const { engine, time, dead } = await lapsedWorld();
    const dayMs = 86_400_000;
    await Promise.all([dead.engine.close({ graceMs: 0 }), time.advance(10_000)]);
    await time.advance(30 * dayMs);
    await engine.settle(scope, "k", { as: "succeeded", value: 7, ...decision });
    await time.advance(dayMs - 1);
    expect(await engine.execute(scope, "k", null, () => 0)).toMatchObject({ value: 7 });
    await time.advance(1);
    expect(await engine.execute(scope, "k", null, () => 0)).toMatchObject({ value: 0 });
  });

  test("of a held outcome works the same", async () => {
    const { engine } = world({ onError: "hold" });
    for (const as of ["succeeded", "failed", "released"] as const) {
      await rejection(engine.execute(scope, as, null, () => Promise.reject(new Error("?"))));
      const settlement = as === "failed" ? { as, error: "no" } : { as };
      await engine.settle(scope, as, { ...settlement, ...decision });
      expect((await engine.inspect(scope, as))?.state).toBe(
        as === "released" ? "released" : "completed",
      );
    }
  });

  test("fences out the owner that comes back late", async () => {
    const { engine, dead, claim } = await lapsedWorld();
    await engine.settle(scope, "k", { as: "failed", error: new Error("no"), ...decision });
    dead.wire.heal();
    expect(await rejection(claim.complete("late"))).toBeInstanceOf(LeaseLostError);
    expect(await engine.inspect(scope, "k")).toMatchObject({ status: "failed" });
  });

  test("that comes after the owner's outcome is refused, and shows it", async () => {
    const { engine, dead, claim } = await lapsedWorld();
    dead.wire.heal();
    await claim.complete("late");
    const error = await rejection(
      engine.settle(scope, "k", { as: "failed", error: 1, ...decision }),
    );
    expect(error).toBeInstanceOf(SettleRefusedError);
    expect(error).toMatchObject({ recorded: { state: "completed", status: "succeeded" } });
  });

  test("that loses to the owner in the very moment is refused", async () => {
    const { engine, memory, dead, claim, wire } = await lapsedWorld();
    dead.wire.heal();
    const original = wire.store.read;
    // Between the operator's look and its decision the late owner completes.
    (wire.store as { read: typeof original }).read = async (ids) => {
      const views = await memory.read(ids);
      await claim.complete("late").catch(() => undefined);
      return views;
    };
    const error = await rejection(
      engine.settle(scope, "k", { as: "succeeded", value: "settled", ...decision }),
    );
    expect(error).toMatchObject({ recorded: { state: "completed", status: "succeeded" } });
    expect((await engine.execute(scope, "k", null, () => "new")).value).toBe("late");
  });

  test("is refused while the call runs, and where there is nothing", async () => {
    const { engine } = world();
    const running = gate<number>();
    const run = engine.execute(scope, "k", null, running.fn);
    await settled();
    const release = { as: "released", ...decision } as const;
    expect(await rejection(engine.settle(scope, "k", release))).toMatchObject({
      code: "SETTLE_REFUSED",
      recorded: { state: "in-progress" },
    });
    expect(await rejection(engine.settle(scope, "absent", release))).toMatchObject({
      code: "SETTLE_REFUSED",
      recorded: undefined,
    });
    running.open(1);
    await run;
  });

  const bad: readonly (readonly [unknown, string])[] = [
    [undefined, "decision: expected { as, by, why }, got undefined"],
    [{ as: "done", ...decision }, "as: expected 'succeeded', 'failed' or 'released'"],
    [{ as: "released", why: "x" }, "by: expected a text"],
    [{ as: "released", by: "ann", why: "" }, "why: expected a text of 1 to 4096 characters"],
    [{ as: "released", by: "ann", why: "x".repeat(5_000) }, "got a string of 5000 characters"],
    [{ as: "succeeded", value: new Date(), ...decision }, "value is an instance of Date"],
  ];
  for (const [given, message] of bad) {
    test(`refuses ${message}`, async () => {
      const { engine } = await lapsedWorld();
      const error = await rejection(engine.settle(scope, "k", given as never));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toContain(message);
      expect(await engine.inspect(scope, "k")).toMatchObject({ state: "lapsed" });
    });
  }
});

describe("inspect and list", () => {
  test("show a record with its scope in parts, ready to be handed back", async () => {
    const { engine } = await lapsedWorld();
    const { records, next } = await engine.list({ state: "lapsed" });
    expect(next).toBeUndefined();
    expect(records).toHaveLength(1);
    const [record] = records;
    expect(record).toMatchObject({ scope, key: "k", state: "lapsed", leaseRemainingMs: 0 });
    expect(await engine.inspect(record?.scope ?? "", record?.key ?? "")).toEqual(record);
    expect(await engine.inspect(scope, "absent")).toBeUndefined();
  });

  test("list in pages", async () => {
    const { engine } = world({ onError: "hold" });
    const keys = ["a", "b", "c", "d", "e"];
    for (const key of keys) {
      await rejection(engine.execute("o", key, null, () => Promise.reject(new Error())));
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await engine.list({ state: "unknown", limit: 2, ...(after && { after }) });
      seen.push(...page.records.map(({ key }) => key));
      after = page.next;
    } while (after !== undefined);
    expect(seen.sort()).toEqual(keys);
  });

  test("find a record by the digest of an event", async () => {
    const { engine, events } = world();
    await engine.execute(["tenant"], "k", null, () => 7);
    const [claimed] = events;
    const digest = claimed && "digest" in claimed.event ? claimed.event.digest : "";
    const found = await engine.inspect({ digest });
    expect(found).toMatchObject({ scope: ["tenant"], key: "k", value: 7 });
    for (const wrong of ["", "k", "g".repeat(32), 1]) {
      const error = await rejection(engine.inspect({ digest: wrong as string }));
      expect(error).toBeInstanceOf(TypeError);
    }
  });

  test("never show owners, fingerprints or payloads", async () => {
    const { engine } = world();
    await engine.execute("o", "k", { secret: "canary" }, () => 1);
    expect(JSON.stringify(await engine.inspect("o", "k"))).not.toMatch(/canary|owner|fingerprint/);
  });

  test("survive a body and a note that cannot be read", async () => {
    const { engine, memory } = await lapsedWorld();
    const { records } = await memory.list({ state: "lapsed", limit: 1 });
    const [view] = records;
    if (view === undefined) throw new Error("expected a record");
    const broken = { status: "unknown", body: "json:{", note: "{" } as const;
    await memory.complete([{ ...view, ...broken }]);
    const record = await engine.inspect(scope, "k");
    expect(record).toMatchObject({ state: "unknown" });
    expect(record).not.toHaveProperty("value");
    expect(record).not.toHaveProperty("note");
  });

  test("refuse bad pages", async () => {
    const { engine } = world();
    const bad = [{ state: "done" }, { state: "lapsed", limit: 0 }, { state: "lapsed", limit: 1.5 }];
    for (const options of bad) {
      expect(await rejection(engine.list(options as never))).toBeInstanceOf(TypeError);
    }
  });
});

describe("remove", () => {
  test("lets the next caller of the same process run, though the removed function still runs", async () => {
    const { engine, time } = world();
    const removed = gate<string>();
    const first = rejection(engine.execute("o", "k", 1, () => removed.fn()));
    await settled();
    expect(await engine.remove("o", "k")).toBe(true);
    expect(await engine.execute("o", "k", 1, () => "next")).toMatchObject({ value: "next" });
    removed.open("late");
    await time.advance(0);
    expect(await first).toMatchObject({ code: "LEASE_LOST" });
  });

  test("drops a record, so that its key is new, and answers whether it was there", async () => {
    const { engine } = world();
    await engine.execute("o", "k", "first", () => 1);
    expect(await engine.remove("o", "k")).toBe(true);
    const next = await engine.execute("o", "k", "other", () => 2);
    expect(next).toMatchObject({ value: 2, replayed: false, attempt: 2 });
    expect(await engine.remove("o", "absent")).toBe(false);
  });
});

describe("purge", () => {
  test("deletes what has expired, up to a limit, and leaves what is open", async () => {
    const { engine, time, memory, wire } = world({ replayMs: 400_000 });
    for (let index = 0; index < 1_200; index += 1) {
      await engine.execute("o", `k${index}`, null, () => index);
    }
    const held = engine.execute("o", "held", null, () => Promise.reject(1), { onError: "hold" });
    await rejection(held);
    await time.advance(400_000);
    const purged = engine.purge({ limit: 700 });
    await time.advance(1);
    expect(await purged).toBe(700);
    expect(
      wire.calls.filter(({ operation }) => operation === "purge").map(({ given }) => given),
    ).toEqual([25, 50, 100, 200, 325]);
    const rest = engine.purge();
    await time.advance(1);
    expect(await rest).toBe(500);
    expect(await engine.purge()).toBe(0);
    const { records } = await memory.list({ state: "unknown", limit: 10 });
    expect(records).toHaveLength(1);
  });

  test("takes small batches where they take long", async () => {
    const { engine, time, wire } = world({ replayMs: 400_000 });
    for (let index = 0; index < 200; index += 1) {
      await engine.execute("o", `k${index}`, null, () => index);
    }
    await time.advance(400_000);
    wire.delay("purge", 11);
    const purging = engine.purge();
    await time.advance(10);
    wire.delay("purge", 9);
    await time.advance(60_000);
    expect(await purging).toBe(200);
    const asked = wire.calls.filter(({ operation }) => operation === "purge");
    expect(asked.map(({ given }) => given)).toEqual([25, 25, 50, 100, 200]);
  });

  test("refuses bad limits, and tells of a failing store", async () => {
    const { engine, wire } = world();
    for (const limit of [0, -1, 1.5, Number.NaN, "10", null]) {
      expect(await rejection(engine.purge({ limit: limit as number }))).toBeInstanceOf(TypeError);
    }
    for (const operation of ["purge", "list", "remove"] as const) wire.fail(operation, "refused");
    expect(await rejection(engine.purge())).toBeInstanceOf(StoreError);
    expect(await rejection(engine.list({ state: "lapsed" }))).toBeInstanceOf(StoreError);
    await engine.execute("o", "k", null, () => 1);
    expect(await rejection(engine.remove("o", "k"))).toBeInstanceOf(StoreError);
  });
});
