import { describe, expect, test } from "vitest";
import type { Context, ErrorPolicy, OperationOptions } from "../src/index.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

/** A payment provider that charges at once and never responds: the caller's `signal` ends the wait. */
function hangingProvider() {
  const bookings: string[] = [];
  return {
    bookings,
    charge: (signal: AbortSignal, by = "charge") =>
      new Promise<string>((_resolve, reject) => {
        bookings.push(by);
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  };
}

/** A deploy: the engine is closed while its functions run. */
async function closeNow({ engine, time }: ReturnType<typeof world>): Promise<void> {
  const closed = engine.close({ graceMs: 0 });
  await time.advance(0);
  await closed;
}

/** How the engine comes to abort the signal of a running function. */
const ABORTS = {
  "engine-closed": closeNow,
  "lease-unconfirmed": async (shared: ReturnType<typeof world>) => {
    shared.wire.fail("renew", "hangs", Number.POSITIVE_INFINITY);
    await shared.time.advance(LEASE_MS);
  },
  "ran-too-long": async (shared: ReturnType<typeof world>) => {
    await shared.time.advance(60_000);
  },
} as const;

const reasons = Object.keys(ABORTS) as (keyof typeof ABORTS)[];

async function openAfterLease(shared: ReturnType<typeof world>, graceMs = LEASE_MS) {
  shared.wire.heal();
  await shared.time.advance(graceMs);
  const { engine } = otherProcess(shared);
  return { engine, record: await engine.inspect("orders", "k") };
}

describe("a function that throws after the engine has aborted its signal", () => {
  for (const reason of reasons) {
    test(`leaves its outcome open after ${reason}`, async () => {
      const shared = world({ maxRunMs: 60_000 });
      const { bookings, charge } = hangingProvider();
      const run = rejection(
        shared.engine.execute("orders", "k", 1, ({ signal }) => charge(signal)),
      );
      await settled();
      await ABORTS[reason](shared);
      expect(await run).toMatchObject({
        code: "RUN_ABORTED",
        reason,
        message: expect.stringContaining("If its outcome stays open, `onLapsed`, the `reconcile`"),
      });
      expect(shared.wire.count("complete") + shared.wire.count("release")).toBe(0);
      const { engine, record } = await openAfterLease(shared);
      expect(record).toMatchObject({ state: "lapsed", attempt: 1 });
      const again = rejection(engine.execute("orders", "k", 1, () => "charged again"));
      expect(await again).toMatchObject({ code: "OUTCOME_UNKNOWN", reason: "lapsed" });
      expect(bookings).toHaveLength(1);
      expect(shared.time.timers).toBe(0);
    });
  }

  test("leaves it open whatever it throws", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ signal }) => {
        await hangingProvider()
          .charge(signal)
          .catch(() => undefined);
        throw new Error("the client library's own words");
      }),
    );
    await settled();
    await closeNow(shared);
    expect(await run).toMatchObject({ message: "the client library's own words" });
    const { record } = await openAfterLease(shared);
    expect(record).toMatchObject({ state: "lapsed" });
  });

  test("says so with an event, and once", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ signal }) => hangingProvider().charge(signal)),
    );
    await settled();
    await closeNow(shared);
    await run;
    expect(shared.events).toMatchObject([
      { name: "claimed" },
      { name: "aborted", event: { reason: "engine-closed", attempt: 1 } },
      { name: "unknown", event: { reason: "aborted", attempt: 1 } },
    ]);
  });

  test("neither shortens its lease nor extends it", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ signal }) => hangingProvider().charge(signal)),
    );
    await shared.time.advance(15_000);
    await closeNow(shared);
    await run;
    const other = otherProcess(shared).engine;
    // It was renewed at a third of its lease, and once more due at two thirds.
    expect(await other.inspect("orders", "k")).toMatchObject({
      state: "in-progress",
      leaseRemainingMs: 25_000,
    });
  });

  const asked: readonly (readonly [OperationOptions, string])[] = [
    [{ onError: "record" }, "lapsed"],
    [{ onError: "release" }, "lapsed"],
    [{ guarantee: "at-least-once" }, "lapsed"],
    [{ onError: "hold" }, "unknown"],
    [{ onError: () => "record" }, "completed"],
    [{ onError: () => "release" }, "released"],
    [{ onError: () => "hold" }, "unknown"],
    [{ onError: () => "nonsense" as ErrorPolicy }, "unknown"],
  ];
  for (const [options, state] of asked) {
    const { onError, guarantee } = options;
    const what = typeof onError === "function" ? `a function that returns ${onError(0)}` : onError;
    test(`is ${state} under ${what ?? guarantee}`, async () => {
      const shared = world(options);
      const run = rejection(
        shared.engine.execute("orders", "k", 1, ({ signal }) => hangingProvider().charge(signal)),
      );
      await settled();
      await closeNow(shared);
      await run;
      const { record } = await openAfterLease(shared);
      expect(record).toMatchObject({ state });
    });
  }

  test("runs again under at-least-once, once the lease is over and not before", async () => {
    const shared = world({ guarantee: "at-least-once" });
    const { bookings, charge } = hangingProvider();
    const run = rejection(shared.engine.execute("orders", "k", 1, ({ signal }) => charge(signal)));
    await settled();
    await closeNow(shared);
    await run;
    const { engine } = otherProcess(shared, { guarantee: "at-least-once" });
    const again = () => engine.execute("orders", "k", 1, () => bookings.length);
    expect(await rejection(again())).toMatchObject({ code: "IN_PROGRESS" });
    await shared.time.advance(LEASE_MS);
    expect(await again()).toMatchObject({ value: 1, attempt: 2 });
  });

  test("loses to the operator who has overruled it, as ever", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ signal }) => hangingProvider().charge(signal)),
    );
    await settled();
    const { engine } = otherProcess(shared);
    await engine.settle(
      "orders",
      "k",
      { as: "succeeded", value: "seen at the provider", by: "ann", why: "ticket 1" },
      { overrule: true },
    );
    await shared.time.advance(LEASE_MS / 3);
    const error = await run;
    expect(error).toMatchObject({ code: "LEASE_LOST", cause: { reason: "claim-refused" } });
    expect(await engine.inspect("orders", "k")).toMatchObject({ value: "seen at the provider" });
  });

  test("is recorded if it had not read the signal: nothing has disturbed it", async () => {
    const shared = world();
    const running = gate<string>();
    const run = rejection(shared.engine.execute("orders", "k", 1, running.fn));
    await settled();
    await closeNow(shared);
    running.fail(new Error("declined"));
    await run;
    const { record } = await openAfterLease(shared);
    expect(record).toMatchObject({ state: "completed", status: "failed" });
  });

  test("is recorded if it threw before the abort", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ signal }) => {
        throw new Error(signal.aborted ? "aborted" : "declined");
      }),
    );
    expect(await run).toMatchObject({ message: "declined" });
    const { record } = await openAfterLease(shared);
    expect(record).toMatchObject({ state: "completed", status: "failed" });
  });

  test("is recorded with its value if it returns one after all", async () => {
    const shared = world();
    const running = gate<string>();
    const run = shared.engine.execute("orders", "k", 1, async ({ signal }) => {
      await running.fn();
      return `${signal.aborted}`;
    });
    await settled();
    await closeNow(shared);
    running.open("charged");
    expect(await run).toMatchObject({ value: "true", recorded: true });
  });
});

describe("a claim of begin whose signal was aborted", () => {
  for (const end of ["fail", "release"] as const) {
    test(`is left open by ${end}, and runs out`, async () => {
      const shared = world();
      const begun = await shared.engine.begin("orders", "k", 1);
      if (begun.kind !== "execute") throw new Error("expected a claim");
      const charging = rejection(hangingProvider().charge(begun.claim.signal));
      await closeNow(shared);
      const ended = begun.claim[end](await charging);
      expect(await ended).toEqual({ recorded: false });
      expect(shared.wire.count("complete") + shared.wire.count("release")).toBe(0);
      const { record } = await openAfterLease(shared);
      expect(record).toMatchObject({ state: "lapsed" });
    });
  }

  test("can still be completed or held", async () => {
    for (const end of ["complete", "hold"] as const) {
      const shared = world();
      const begun = await shared.engine.begin("orders", "k", 1);
      if (begun.kind !== "execute") throw new Error("expected a claim");
      const { aborted } = begun.claim.signal;
      await closeNow(shared);
      expect(await begun.claim[end](aborted)).toMatchObject({ recorded: true });
    }
  });
});

describe("a step when the engine aborts the run", () => {
  const charging =
    (charge: ReturnType<typeof hangingProvider>["charge"]) =>
    ({ step, signal }: Context) =>
      step("charge", () => charge(signal));

  test("keeps its marker if its function throws: a duplicate does not run it", async () => {
    const shared = world({ steps: true });
    const { bookings, charge } = hangingProvider();
    const run = rejection(shared.engine.execute("orders", "k", 1, charging(charge)));
    await settled();
    await settled();
    await closeNow(shared);
    expect(await run).toMatchObject({ code: "RUN_ABORTED" });
    await shared.time.advance(LEASE_MS);
    const { engine } = otherProcess(shared, { steps: true });
    const again = rejection(engine.execute("orders", "k", 1, charging(charge)));
    expect(await again).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(bookings).toHaveLength(1);
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
      steps: [{ name: "charge", state: "begun" }],
    });
  });

  test("keeps its marker though the function never read the signal itself", async () => {
    const shared = world({ steps: true });
    const running = gate<string>();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ step }) => step("charge", running.fn)),
    );
    await settled();
    await settled();
    await closeNow(shared);
    running.fail(new Error("socket hang up"));
    await run;
    await shared.time.advance(LEASE_MS);
    const { engine } = otherProcess(shared, { steps: true });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "lapsed",
      steps: [{ name: "charge", state: "begun" }],
    });
  });

  test("does not begin: it rejects before it writes a marker, and the outcome stays open", async () => {
    const shared = world({ steps: true });
    const running = gate<string>();
    const done: string[] = [];
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step }) => {
        await running.fn();
        return await step("charge", () => done.push("charge"));
      }),
    );
    await settled();
    await closeNow(shared);
    running.open("go on");
    expect(await run).toMatchObject({ code: "RUN_ABORTED", reason: "engine-closed" });
    expect(done).toEqual([]);
    expect(shared.wire.count("renew")).toBe(0);
    await shared.time.advance(LEASE_MS);
    const { engine } = otherProcess(shared, { steps: true });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
    // Nothing was in doubt, so the work is resumed.
    expect(await engine.execute("orders", "k", 1, () => "resumed")).toMatchObject({ attempt: 2 });
  });

  test("does not begin if the process stood still beyond its lease, though its marker is written", async () => {
    const shared = world({ steps: true });
    const { store } = shared.wire;
    const renew = store.renew.bind(store);
    Object.assign(store, {
      renew: async (renewals: Parameters<typeof renew>[0]) => {
        const renewed = await renew(renewals);
        shared.time.standStill(LEASE_MS);
        return renewed;
      },
    });
    const done: string[] = [];
    const run = rejection(
      shared.engine.execute("orders", "k", 1, ({ step }) =>
        step("charge", () => done.push("charge")),
      ),
    );
    expect(await run).toMatchObject({ code: "RUN_ABORTED", reason: "lease-unconfirmed" });
    expect(done).toEqual([]);
  });

  test("whose marker the store refuses is no failure of the work: an operator is deciding", async () => {
    const shared = world({ steps: true });
    const running = gate<string>();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step }) => {
        await running.fn();
        return await step("charge", () => "charged");
      }),
    );
    await shared.time.advance(LEASE_MS / 2);
    const { store } = shared.wire;
    const { digest } = (await shared.engine.inspect("orders", "k")) ?? {};
    const [view] = await store.read([{ digest: digest ?? "", scope: "", key: "" }]);
    const { id, owner, token } = view ?? expect.unreachable();
    // The first half of a release: the reason is written, and the key is given back next.
    await store.complete([{ id, owner, token, status: "unknown", body: "json:", note: "{}" }]);
    running.open("go on");
    expect(await run).toMatchObject({ code: "LEASE_LOST" });
    expect(await shared.engine.inspect("orders", "k")).toMatchObject({ state: "unknown" });
  });

  test("saves the result of one that is running, without extending the lease", async () => {
    const shared = world({ steps: true });
    const running = gate<string>();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step, signal }) => {
        await step("charge", running.fn);
        await step("mail", () => "mail");
        return `${signal.aborted}`;
      }),
    );
    await settled();
    await settled();
    await shared.time.advance(5_000);
    await closeNow(shared);
    running.open("charged");
    expect(await run).toMatchObject({ code: "RUN_ABORTED" });
    const { engine } = otherProcess(shared, { steps: true });
    expect(await engine.inspect("orders", "k")).toMatchObject({
      state: "in-progress",
      leaseRemainingMs: LEASE_MS - 5_000,
      steps: [{ name: "charge", state: "done", value: "charged" }],
    });
    await shared.time.advance(LEASE_MS);
    const again = engine.execute("orders", "k", 1, async ({ step }) => {
      const charged = await step("charge", () => "charged again");
      return `${charged} and ${await step("mail", () => "mailed")}`;
    });
    expect(await again).toMatchObject({ value: "charged and mailed" });
  });
});

describe("executeMany when the engine aborts its function", () => {
  const lines = ["a", "b", "c"].map((key) => ({ key, payload: 1 }));

  test("leaves the lines that are not done open, and keeps those that are", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.executeMany("orders", lines, async (_lines, { signal, done }) => {
        await done("a", "done");
        await hangingProvider().charge(signal);
        return [];
      }),
    );
    await settled();
    await settled();
    await closeNow(shared);
    expect(await run).toMatchObject({ code: "RUN_ABORTED" });
    await shared.time.advance(LEASE_MS);
    const { engine } = otherProcess(shared);
    expect(await engine.inspect("orders", "a")).toMatchObject({ status: "succeeded" });
    for (const key of ["b", "c"]) {
      expect(await engine.inspect("orders", key)).toMatchObject({ state: "lapsed" });
    }
  });

  test("reports a line that it returns as failed as unknown", async () => {
    const shared = world();
    const run = shared.engine.executeMany("orders", lines, async (given, { signal }) => {
      const error = await rejection(hangingProvider().charge(signal));
      return given.map(({ key }) => (key === "a" ? { key, value: "done" } : { key, error }));
    });
    await settled();
    await closeNow(shared);
    expect(await run).toMatchObject([
      { key: "a", verdict: "executed", value: "done" },
      { key: "b", verdict: "unknown", error: { code: "RUN_ABORTED" } },
      { key: "c", verdict: "unknown", error: { code: "RUN_ABORTED" } },
    ]);
  });

  test("leaves all lines open when the claim of one of them is lost", async () => {
    const shared = world();
    const run = rejection(
      shared.engine.executeMany("orders", lines, async (_lines, { signal }) => {
        await hangingProvider().charge(signal);
        return [];
      }),
    );
    await settled();
    const { engine } = otherProcess(shared);
    await engine.remove("orders", "a");
    await shared.time.advance(LEASE_MS / 3);
    expect(await run).toMatchObject({ reason: "claim-refused" });
    await shared.time.advance(LEASE_MS);
    for (const key of ["b", "c"]) {
      expect(await engine.inspect("orders", key)).toMatchObject({ state: "lapsed" });
    }
  });
});

describe("maxRunMs", () => {
  test("ends the renewals of a function that never settles, so that its key can be settled", async () => {
    const shared = world({ maxRunMs: 45_000 });
    const running = gate<never>();
    void shared.engine.execute("orders", "k", 1, running.fn).catch(() => undefined);
    await shared.time.advance(44_999);
    expect(shared.events.map(({ name }) => name)).toEqual(["claimed"]);
    await shared.time.advance(1);
    expect(shared.events.at(-1)).toMatchObject({
      name: "aborted",
      event: { reason: "ran-too-long" },
    });
    await shared.time.advance(LEASE_MS);
    expect(shared.time.timers).toBe(0);
    const decision = { as: "failed", error: "stuck", by: "ann", why: "stuck" } as const;
    await shared.engine.settle("orders", "k", decision);
    const again = rejection(shared.engine.execute("orders", "k", 1, () => 1));
    expect(await again).toMatchObject({ code: "REPLAYED_FAILURE" });
  });

  test("shorter than a third of the lease is kept to as well", async () => {
    const shared = world({ maxRunMs: 500 });
    const running = gate<never>();
    void shared.engine.execute("orders", "k", 1, running.fn).catch(() => undefined);
    await shared.time.advance(500);
    expect(shared.events.at(-1)).toMatchObject({ name: "aborted" });
    expect(shared.wire.count("renew")).toBe(0);
  });

  test("without it a function that still runs after ten leases is reported, once", async () => {
    const shared = world();
    const running = gate<number>();
    const run = shared.engine.execute("orders", "k", 1, running.fn);
    await shared.time.advance(10 * LEASE_MS - 1);
    expect(shared.events.map(({ name }) => name)).toEqual(["claimed"]);
    await shared.time.advance(20 * LEASE_MS);
    expect(shared.events.map(({ name }) => name)).toEqual(["claimed", "still-running"]);
    const ranMs = expect.closeTo(10 * LEASE_MS, -4);
    expect(shared.events.at(-1)).toMatchObject({ event: { ranMs } });
    running.open(1);
    expect(await run).toMatchObject({ recorded: true });
  });
});

describe("settle with overrule", () => {
  const decision = { as: "failed", error: "gone", by: "ann", why: "the provider is bankrupt" };

  test("fences an owner that runs: its late result is refused, and duplicates get the decision", async () => {
    const shared = world();
    const running = gate<string>();
    const run = rejection(shared.engine.execute("orders", "k", 1, running.fn));
    await settled();
    const failed = { ...decision, as: "failed" } as const;
    expect(await rejection(shared.engine.settle("orders", "k", failed))).toMatchObject({
      code: "SETTLE_REFUSED",
    });
    await shared.engine.settle("orders", "k", failed, { overrule: true });
    // A duplicate in the same process does not wait for the function that still runs.
    const again = rejection(shared.engine.execute("orders", "k", 1, () => "again"));
    expect(await again).toMatchObject({ code: "REPLAYED_FAILURE" });
    running.open("late");
    expect(await run).toMatchObject({ code: "LEASE_LOST", value: "late" });
  });

  test("releases nothing that may still run", async () => {
    const { engine } = world();
    const released = { ...decision, as: "released" } as const;
    const refused = rejection(engine.settle("orders", "k", released, { overrule: true }));
    expect(await refused).toMatchObject({
      name: "TypeError",
      message: expect.stringContaining("expected as 'succeeded' or 'failed'"),
    });
  });

  test("refuses other options, and other values", async () => {
    const { engine } = world();
    const failed = { ...decision, as: "failed" } as const;
    for (const options of [{ overule: true }, { overrule: 1 }, null]) {
      const refused = rejection(engine.settle("orders", "k", failed, options as object));
      expect(await refused).toBeInstanceOf(TypeError);
    }
  });
});
