import { setTimeout as pause } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { createEngine, memoryStore } from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { randomOf } from "@idemkit/test-servers";
import { expect, test } from "vitest";
import { FUZZED_APPS, fuzzedHandler, pathOf, type Scenario, scenarioOf } from "../src/fuzz.ts";
import { inParallel } from "../src/in-parallel.ts";
import { type Binding, fastifyBinding, koaBinding, type Received, send } from "../src/index.ts";
import { leaveEarly } from "../src/leaving.ts";

/** `FUZZ_KEYS=20000 FUZZ_SEED=7` runs another, longer range. */
const KEYS = Number(process.env.FUZZ_KEYS ?? 300);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const PARALLEL = 24;
const ASKED_MAX = 500;
const MS_PER_KEY = 100;

const bindings = { "Koa 3": koaBinding(koaModule), "Fastify 5": fastifyBinding(fastifyModule) };

interface Tally {
  requests: number;
  firsts: number;
  replays: number;
  timeouts: number;
  inProgress: number;
  /** Clients that have closed their socket before the server did. */
  cut: number;
}

/** A response without the parts that a layer makes anew. */
function shownOf({ status, headers, bytes }: Received) {
  const isPacked = headers["content-encoding"] === "gzip" && bytes.length > 0;
  const text = (isPacked ? gunzipSync(bytes) : bytes).toString();
  return { status, own: headers["x-own"], type: headers["content-type"], text };
}

const isTimeout = (received: Received) =>
  received.status === 503 && shownOf(received).text.includes("takes too long");
const isInProgress = (received: Received) =>
  received.status === 409 && shownOf(received).text.includes('"in-progress"');

async function play(origin: string, scenario: Scenario, tally: Tally): Promise<void> {
  const sent = (encoding: string) =>
    ({
      ...{ key: scenario.key, path: pathOf(scenario) },
      headers: { "accept-encoding": encoding },
    }) as const;
  const received = await Promise.all(
    scenario.clients.map(async ({ afterMs, leave, encoding }) => {
      await pause(afterMs);
      tally.requests += 1;
      if (leave === undefined) return await send(origin, sent(encoding));
      const { hasLeft } = await leaveEarly(origin, sent(encoding), leave);
      tally.cut += Number(hasLeft);
      return undefined;
    }),
  );
  const settled = received.filter((each) => each !== undefined);
  for (let asked = 0; ; asked += 1) {
    expect(asked, "requests until the outcome is there").toBeLessThan(ASKED_MAX);
    const again = await send(origin, sent("identity"));
    settled.push(again);
    if (again.isReplayed) break;
    await pause(5);
  }
  check(scenario, settled, tally);
}

/** Each response is the outcome, or says that it is not there yet. */
function check(scenario: Scenario, settled: readonly Received[], tally: Tally): void {
  const last = settled.at(-1) as Received;
  const outcome = shownOf(last);
  // Fastify keeps a status that the handler has set before it failed.
  const others = scenario.way === "broken-stream" ? [500] : [];
  expect([scenario.status, ...others], "the status").toContain(outcome.status);
  for (const each of settled) {
    if (isTimeout(each) && FUZZED_APPS[scenario.app]?.timeoutMs !== undefined) tally.timeouts += 1;
    else if (isInProgress(each)) tally.inProgress += 1;
    else {
      tally[each.isReplayed ? "replays" : "firsts"] += 1;
      expect(shownOf(each)).toEqual(outcome);
    }
  }
  if (scenario.way === "foreign" || scenario.way === "broken-stream") return;
  expect(outcome.own).toBe(scenario.key);
  expect(outcome.text).toBe(textOf(scenario));
}

function textOf({ way, body }: Scenario): string {
  if (way === "stream") return "first second third";
  return typeof body === "string" || Buffer.isBuffer(body) ? String(body) : JSON.stringify(body);
}

async function fuzz(binding: Binding): Promise<Tally> {
  const engine = createEngine({ store: memoryStore(), leaseMs: 20_000, steps: true });
  const runs = new Map<string, number>();
  const scenarios = new Map<string, Scenario>();
  const handler = fuzzedHandler(scenarios, (key) => runs.set(key, (runs.get(key) ?? 0) + 1));
  const apps = await Promise.all(
    FUZZED_APPS.map(async (plan) => await binding.start(engine, { ...plan, handler })),
  );
  const tally: Tally = { requests: 0, firsts: 0, replays: 0, timeouts: 0, inProgress: 0, cut: 0 };
  const seeds = randomOf(SEED);
  const playNext = async () => {
    const seed = Math.floor(seeds() * 2 ** 32);
    const scenario = scenarioOf(seed);
    scenarios.set(scenario.key, scenario);
    try {
      await play((apps[scenario.app] as (typeof apps)[number]).origin, scenario, tally);
      expect(runs.get(scenario.key), "runs under at-most-once").toBe(1);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${JSON.stringify({ ...scenario, body: undefined })}`, {
        cause,
      });
    }
  };
  try {
    await inParallel(PARALLEL, KEYS, playNext);
  } finally {
    for (const app of apps) await app.close();
    await engine.close({ graceMs: 100 });
  }
  return tally;
}

for (const [name, binding] of Object.entries(bindings)) {
  test(
    `${name}: ${KEYS} keys, from seed ${SEED}`,
    async () => {
      const tally = await fuzz(binding);
      if (process.env.FUZZ_KEYS !== undefined) process.stdout.write(`${JSON.stringify(tally)}\n`);
      for (const kind of ["cut", "timeouts", "inProgress", "firsts"] as const) {
        expect(tally[kind], kind).toBeGreaterThan(0);
      }
    },
    30_000 + KEYS * MS_PER_KEY,
  );
}
