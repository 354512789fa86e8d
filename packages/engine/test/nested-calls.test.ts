import { describe, expect, test, vi } from "vitest";
import {
  type ClaimRequest,
  type Context,
  createEngine,
  type Engine,
  EngineClosedError,
  type OperationOptions,
  OutcomeUnknownError,
  type Store,
  StoreError,
} from "../src/index.ts";
import { nodeRuntime } from "../src/runtime.ts";
import { gate, otherProcess, rejection, settled, world } from "./world.ts";

const LEASE_MS = 30_000;

/** A call to a provider that books at once, and ends when the signal is aborted. */
const hangs = (signal: AbortSignal) =>
  new Promise<string>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

const pays = async (engine: Engine) =>
  (await engine.execute("payments", "p", 1, ({ signal }) => hangs(signal))).value;

async function close({ engine, time }: ReturnType<typeof world>, graceMs = 0): Promise<void> {
  const closed = engine.close({ graceMs });
  await time.advance(graceMs);
  await closed;
}

async function stateOf(shared: ReturnType<typeof world>, key = "k") {
  shared.wire.heal();
  await shared.time.advance(LEASE_MS);
  return await otherProcess(shared).engine.inspect("orders", key);
}

const wraps: Readonly<Record<string, (error: unknown) => unknown>> = {
  itself: (error) => error,
  "as the cause of another error": (error) =>
    new Error("order failed", { cause: new Error("payment failed", { cause: error }) }),
  "among several": (error) => new AggregateError([new Error("declined"), error]),
};

describe("a function that throws the error of a call that it made", () => {
  for (const [how, wrap] of Object.entries(wraps)) {
    test(`leaves its outcome open if the engine has aborted that call: ${how}`, async () => {
      const shared = world();
      const run = rejection(
        shared.engine.execute("orders", "k", 1, async () => {
          try {
            return await pays(shared.engine);
          } catch (error) {
            throw wrap(error);
          }
        }),
      );
      await settled();
      await close(shared);
      await run;
      expect(await stateOf(shared)).toMatchObject({ state: "lapsed" });
    });
  }

  test("leaves its outcome open if the engine was closing before that call", async () => {
    const shared = world();
    const charged = gate<void>();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async () => {
        await charged.fn();
        return (await shared.engine.execute("mail", "m", 1, () => "sent")).value;
      }),
    );
    await settled();
    const closed = shared.engine.close({ graceMs: 5_000 });
    charged.open();
    expect(await run).toMatchObject({ code: "ENGINE_CLOSED" });
    await shared.time.advance(5_000);
    await closed;
    expect(await stateOf(shared)).toMatchObject({ state: "lapsed" });
  });

  test("is asked about by an onError function, whose decision counts", async () => {
    const shared = world({ onError: () => "record" });
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async () => await pays(shared.engine)),
    );
    await settled();
    await close(shared);
    await run;
    expect(await stateOf(shared)).toMatchObject({ status: "failed" });
  });

  test("keeps a step in doubt that made the call of another engine", async () => {
    const shared = world({ steps: true });
    const payments = shared.engine.with({ steps: false }) as Engine;
    const run = rejection(
      shared.engine.execute(
        "orders",
        "k",
        1,
        async ({ step }) => await step("pay", async () => await pays(payments)),
      ),
    );
    await settled();
    await settled();
    const closed = payments.close({ graceMs: 0 });
    await shared.time.advance(0);
    await closed;
    expect(await run).toMatchObject({ code: "RUN_ABORTED" });
    expect(await stateOf(shared)).toMatchObject({
      state: "lapsed",
      steps: [{ name: "pay", state: "begun" }],
    });
  });

  test("puts a step back whose call gets an outcome without its result", async () => {
    const shared = world({ steps: true });
    const payments = shared.engine.with({ steps: false, maxResultBytes: 4 }) as Engine;
    const pay = async () => (await payments.execute("payments", "p", 1, () => "charged")).value;
    await pay();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step }) => await step("pay", pay)),
    );
    await shared.time.advance(1_000);
    expect(await run).toMatchObject({ code: "RESULT_UNAVAILABLE" });
    expect(await stateOf(shared)).toMatchObject({ state: "lapsed", steps: [] });
  });
});

describe("a step that made several calls", () => {
  const unknown = new OutcomeUnknownError({ reason: "lapsed", attempt: 1, token: 1 });
  const closed = new EngineClosedError();
  test.each([
    ["first", [unknown, closed]],
    ["last", [closed, unknown]],
  ])("stays in doubt if the %s of them may have happened", async (_which, errors) => {
    const shared = world({ steps: true });
    const pay = () => Promise.reject(new AggregateError(errors));
    const run = shared.engine.execute("orders", "k", 1, ({ step }) => step("pay", pay));
    expect(await rejection(run)).toBeInstanceOf(AggregateError);
    expect(await stateOf(shared)).toMatchObject({ steps: [{ name: "pay", state: "begun" }] });
  });
});

describe("steps", () => {
  const steps = (options: OperationOptions = {}) => world({ steps: true, ...options });

  test("of which two cannot be begun leave the outcome open, whichever error is thrown", async () => {
    const shared = steps();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step }) => {
        await step("charge", () => "charged");
        shared.wire.fail("renew", "refused", Number.POSITIVE_INFINITY);
        const first = step("label", () => 1);
        first.catch(() => undefined);
        await settled();
        const ended = await Promise.allSettled([first, step("mail", () => 2)]);
        throw (ended[0] as PromiseRejectedResult).reason;
      }),
    );
    await shared.time.advance(20_000);
    expect(await run).toMatchObject({ code: "STORE_FAILED" });
    expect(await stateOf(shared)).toMatchObject({ state: "lapsed" });
  });

  test("that could not be begun may be tried again by the same run", async () => {
    const shared = steps();
    const tooEarly = vi.fn(() => "too early");
    const run = shared.engine.execute("orders", "k", 1, async ({ step }) => {
      shared.wire.fail("renew", "refused", 3);
      const error = await rejection(step("mail", tooEarly));
      expect(error).toMatchObject({ code: "STORE_FAILED", operation: "renew" });
      return await step("mail", () => "sent");
    });
    await shared.time.advance(20_000);
    expect(await run).toMatchObject({ value: "sent", recorded: true });
    expect(tooEarly).not.toHaveBeenCalled();
  });

  test("under way are waited for, so that an abort meanwhile leaves the lease to run out", async () => {
    const shared = steps({ maxRunMs: 5_000 });
    const slow = gate<string>();
    const run = rejection(
      shared.engine.execute("orders", "k", 1, async ({ step }) => {
        step("slow", () => slow.fn()).catch(() => undefined);
        await settled();
        throw new StoreError("claim", new Error("of another engine"));
      }),
    );
    await shared.time.advance(1_000);
    await shared.time.advance(5_000);
    slow.open("done");
    await shared.time.advance(1_000);
    expect(await run).toMatchObject({ code: "STORE_FAILED" });
    expect(shared.wire.count("release")).toBe(0);
    const { leaseRemainingMs = 0 } = (await shared.engine.inspect("orders", "k")) ?? {};
    expect(leaseRemainingMs).toBeGreaterThan(0);
  });

  for (const layers of [0, 1, 2, 3, 4]) {
    test(`of a branch that goes on do not open the outcome of another's error, ${layers} layers`, async () => {
      const shared = steps();
      const deep = async (call: () => Promise<number>, left: number): Promise<number> =>
        left === 0 ? await call() : await deep(call, left - 1);
      const run = rejection(
        shared.engine.execute("orders", "k", 1, async ({ step }: Context) => {
          const branch = async () => {
            await deep(() => step("one", () => 1), layers);
            return await step("two", () => 2);
          };
          const declines = async () => {
            throw new Error("declined");
          };
          return await Promise.all([branch(), declines()]);
        }),
      );
      await shared.time.advance(1_000);
      expect(await run).toMatchObject({ message: "declined" });
      expect(await stateOf(shared)).toMatchObject({ state: "completed", status: "failed" });
    });
  }
});

describe("a batch", () => {
  const lines = (...keys: readonly string[]) => keys.map((key) => ({ key, payload: 1 }));

  test("does not resume a line that an earlier run with steps has left open", async () => {
    const shared = world({ steps: true, onLapsed: "resume" });
    void shared.engine
      .execute("orders", "k", 1, async ({ step }) => {
        await step("charge", () => "charged");
        return await new Promise<string>(() => undefined);
      })
      .catch(() => undefined);
    await settled();
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(LEASE_MS + 1);
    const { engine } = otherProcess(shared, { steps: true, onLapsed: "resume" });
    const verdicts = await engine.executeMany("orders", lines("k"), () => expect.unreachable());
    expect(verdicts).toMatchObject([{ verdict: "unknown" }]);
  });

  test("records a result that has an error of undefined beside its value", async () => {
    const { engine } = world();
    const fn = () => [{ key: "a", value: "charged", error: undefined }];
    expect(await engine.executeMany("orders", lines("a"), fn)).toMatchObject([
      { verdict: "executed", value: "charged" },
    ]);
  });

  test("leaves its lines open if its function returns no list", async () => {
    const { engine } = world();
    const forgetful = (() => undefined) as unknown as () => [];
    const run = engine.executeMany("orders", lines("a"), forgetful);
    expect(await rejection(run)).toMatchObject({ message: expect.stringContaining("left open") });
    expect(await engine.inspect("orders", "a")).toMatchObject({ state: "lapsed" });
  });

  test("returns the results of its own lines if its wait for others is cut short", async () => {
    const shared = world();
    const other = otherProcess(shared);
    void other.engine
      .execute("orders", "b", 1, () => new Promise<string>(() => undefined))
      .catch(() => undefined);
    await settled();
    const run = shared.engine.executeMany(
      "orders",
      lines("a", "b"),
      (open) => open.map(({ key }) => ({ key, value: 1 })),
      { onDuplicate: { waitMs: 20_000 } },
    );
    await shared.time.advance(100);
    await close(shared);
    expect(await run).toMatchObject([
      { key: "a", verdict: "executed" },
      { key: "b", verdict: "in-progress" },
    ]);
    other.engine.close({ graceMs: 0 }).catch(() => undefined);
    await shared.time.advance(LEASE_MS);
  });
});

describe("lapsed work", () => {
  const lapses = async () => {
    const shared = world();
    void shared.engine
      .execute("orders", "k", 1, () => new Promise<string>(() => undefined))
      .catch(() => undefined);
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(2 * LEASE_MS + 1);
    shared.wire.heal();
    return shared;
  };

  test("is asked about once by a call whose finding cannot be recorded", async () => {
    const shared = await lapses();
    let asked = 0;
    const onLapsed = () => {
      asked += 1;
      return { happened: 1 };
    };
    const { engine, wire } = otherProcess(shared, { onLapsed });
    wire.fail("complete", "refused", Number.POSITIVE_INFINITY);
    const run = rejection(engine.execute("orders", "k", 1, () => expect.unreachable()));
    await shared.time.advance(60_000);
    expect(await run).toMatchObject({ code: "STORE_FAILED", operation: "complete" });
    expect(asked).toBe(1);
  });

  test("is not run for a caller who leaves while `onLapsed` is asked", async () => {
    const shared = await lapses();
    const found = gate<"did-not-happen">();
    const { engine } = otherProcess(shared, { onLapsed: () => found.fn() });
    const caller = new AbortController();
    const run = rejection(
      engine.execute("orders", "k", 1, () => expect.unreachable(), { signal: caller.signal }),
    );
    await settled();
    caller.abort(new Error("left"));
    found.open("did-not-happen");
    expect(await run).toMatchObject({ message: "left" });
    expect(await engine.inspect("orders", "k")).toMatchObject({ state: "lapsed" });
  });

  test("whose owner begins a step while it is taken over is taken over once it has settled", async () => {
    const shared = world({ steps: true });
    void shared.engine
      .execute("orders", "k", 1, () => new Promise<string>(() => undefined))
      .catch(() => undefined);
    await settled();
    shared.wire.fail("renew", "hangs", 1_000);
    await shared.time.advance(LEASE_MS + 1);
    const claimed = shared.wire.calls.find(({ operation }) => operation === "claim")?.given;
    const [{ id, owner }] = claimed as readonly [ClaimRequest];
    const { token = 0 } = (await shared.engine.inspect("orders", "k")) ?? {};
    const log = `steps:${JSON.stringify([{ name: "charge", begun: "reconcilable" }])}`;
    let claims = 0;
    const claim: Store["claim"] = async (requests) => {
      claims += 1;
      const late = { id, owner, token, checkpoint: { revision: 1, value: log } };
      if (claims === 2) expect(await shared.memory.renew([late])).toEqual([true]);
      return await shared.memory.claim(requests);
    };
    const engine = createEngine({
      store: { ...shared.memory, claim },
      runtime: shared.time.runtime,
      steps: true,
    });
    const call = () =>
      engine.execute("orders", "k", 1, async ({ step }) => {
        const reconcile = () => ({ happened: "charged" });
        return await step("charge", (): string => expect.unreachable(), { reconcile });
      });
    expect(await rejection(call())).toMatchObject({ code: "IN_PROGRESS" });
    expect(claims).toBeLessThan(10);
    await shared.time.advance(LEASE_MS);
    expect(await call()).toMatchObject({ value: "charged" });
  });
});

describe("maxRunMs", () => {
  test("may be longer than a timer of Node can be", () => {
    vi.useFakeTimers();
    try {
      const ring = vi.fn();
      nodeRuntime.schedule(ring, 31_536_000_000);
      vi.advanceTimersByTime(31_535_999_999);
      expect(ring).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(ring).toHaveBeenCalledOnce();
      const cancelled = vi.fn();
      const cancel = nodeRuntime.schedule(cancelled, 3_000_000_000);
      vi.advanceTimersByTime(2_500_000_000);
      cancel();
      vi.advanceTimersByTime(2_500_000_000);
      expect(cancelled).not.toHaveBeenCalled();
    } finally {
      vi.useRealTimers();
    }
  });
});
