import { setTimeout as sleep } from "node:timers/promises";
import { type Context, createEngine, OutcomeUnknownError } from "@idemkit/engine";
import { SENTINEL_GROUP, startRedisSentinel } from "@idemkit/test-servers";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { redisStore } from "../src/index.ts";
import { cutOff, primaryAndReplica, startReplica } from "./replication.ts";

const STEPS = ["reserve", "charge", "ship"] as const;
const CALLERS = 8;
const ACKNOWLEDGED_BEFORE = 200;
const TRIES_MAX = 500;
const TRY_PAUSE_MS = 50;
const LEASE_MS = 5_000;

/** Effects and acknowledgements, as the callers of a service see them. */
class Ledger {
  readonly #runs = new Map<string, number>();
  readonly #values = new Map<string, Set<unknown>>();
  /** Calls that ended without an acknowledgement, by the message of their error. */
  readonly refused = new Set<string>();
  acknowledgements = 0;

  run(key: string, step: string): void {
    const name = `${key} ${step}`;
    this.#runs.set(name, (this.#runs.get(name) ?? 0) + 1);
  }

  acknowledge(key: string, value: unknown): void {
    this.acknowledgements += 1;
    this.#values.set(key, (this.#values.get(key) ?? new Set()).add(value));
  }

  get acknowledgedKeys(): readonly string[] {
    return [...this.#values.keys()];
  }

  get stepsRunTwice(): readonly string[] {
    return [...this.#runs].filter(([, count]) => count > 1).map(([name]) => name);
  }

  get keysWithTwoOutcomes(): readonly string[] {
    return [...this.#values].filter(([, values]) => values.size > 1).map(([key]) => key);
  }
}

test("a failover by Sentinel loses no acknowledged outcome and runs no step twice", async () => {
  const { primary, replica } = await primaryAndReplica(onTestFinished);
  const sentinel = await startRedisSentinel(primary.server.url);
  onTestFinished(() => sentinel.stop());
  const { hostname: host, port } = new URL(sentinel.url);
  const connect = () => {
    const client = new Redis({
      ...{ sentinels: [{ host, port: Number(port) }], name: SENTINEL_GROUP },
      ...{ sentinelRetryStrategy: () => 100, retryStrategy: () => 100 },
    });
    client.on("error", () => undefined);
    onTestFinished(() => client.disconnect());
    return client;
  };
  const store = redisStore(connect(), {
    ...{ replicas: 1, waitClient: connect(), replicaTimeoutMs: 1_000 },
  });
  const engine = createEngine({ store, steps: true, leaseMs: LEASE_MS, storeTimeoutMs: 4_000 });
  onTestFinished(() => engine.close({ graceMs: 0 }));
  const ledger = new Ledger();

  const order =
    (key: string, before: (step: string) => Promise<void> | void = () => undefined) =>
    async ({ step }: Pick<Context, "step">) => {
      for (const name of STEPS) {
        await before(name);
        await step(name, () => ledger.run(key, name));
      }
      await before("return");
      return `${key} ${Math.random()}`;
    };
  /** Calls once, as a client does that may come again. Returns whether its outcome is settled. */
  const call = async (key: string, fn = order(key)): Promise<boolean> => {
    try {
      const { value, recorded, replayed } = await engine.execute("s", key, null, fn);
      if (recorded || replayed) ledger.acknowledge(key, value);
      else ledger.refused.add("not recorded");
      return recorded || replayed;
    } catch (error) {
      ledger.refused.add(`${(error as Error).message} ${(error as Error).cause ?? ""}`);
      return error instanceof OutcomeUnknownError;
    }
  };
  const untilSettled = async (key: string) => {
    for (let tried = 0; tried < TRIES_MAX; tried += 1) {
      if (await call(key)) return;
      await sleep(TRY_PAUSE_MS);
    }
    throw new Error(`${key} did not settle: ${[...ledger.refused].join("\n")}`);
  };

  let isOver = false;
  let started = 0;
  const caller = async () => {
    while (!isOver) {
      started += 1;
      await untilSettled(`load ${started}`);
      if (started % 3 === 0) await untilSettled(`load ${1 + (started >> 1)}`);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, caller));
  await expect
    .poll(() => ledger.acknowledgements, { timeout: 60_000 })
    .toBeGreaterThan(ACKNOWLEDGED_BEFORE);

  // Two orders go on while the replica hears nothing more: one comes to its end, and one to a step.
  let held = 0;
  let goOn: (() => void) | undefined;
  const isAway = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const heldBefore = (name: string) => async (step: string) => {
    if (step !== name) return;
    held += 1;
    await isAway;
  };
  const atEnd = call("at its end", order("at its end", heldBefore("return")));
  const inside = call("inside", order("inside", heldBefore("ship")));
  await expect.poll(() => held, { timeout: 20_000 }).toBe(2);
  await cutOff(replica, primary);
  goOn?.();
  const [isEndSettled] = await Promise.all([atEnd, inside]);
  expect(isEndSettled).toBe(false);
  // Its completion is on the primary alone: no replay of it may be acknowledged.
  expect(await call("at its end")).toBe(false);

  await primary.server.stop();
  replica.resume();
  const replication = () => replica.client.info("replication");
  await expect.poll(replication, { timeout: 60_000 }).toContain("role:master");
  await startReplica(replica, onTestFinished);
  const acknowledgedBefore = ledger.acknowledgedKeys;
  const count = ledger.acknowledgements;
  await expect
    .poll(() => ledger.acknowledgements, { timeout: 60_000 })
    .toBeGreaterThan(count + ACKNOWLEDGED_BEFORE);
  isOver = true;
  await callers;
  for (const key of ["at its end", "inside", ...acknowledgedBefore]) await untilSettled(key);

  expect(ledger.keysWithTwoOutcomes).toEqual([]);
  expect(ledger.stepsRunTwice).toEqual([]);
  expect(ledger.acknowledgedKeys).toContain("at its end");
}, 180_000);
