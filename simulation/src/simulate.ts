import type { Decision } from "@idemkit/engine";
import type { History } from "./history.ts";
import { makeCall } from "./world/calls.ts";
import { drawCall } from "./world/draw-call.ts";
import type { Process } from "./world/process.ts";
import { makeProgress } from "./world/progress.ts";
import { recordOf } from "./world/server.ts";
import { World } from "./world/world.ts";

const LAST_WORD_TRIES_MAX = 12;

/** Lives through the world of a seed and answers its history. */
export async function simulate(seed: number): Promise<History> {
  const world = new World(seed);
  const life = live(world);
  let fault: unknown;
  life.catch((error: unknown) => {
    fault = error;
  });
  await world.timeline.run();
  if (fault !== undefined) throw fault;
  const timers = world.processes.reduce((sum, process) => sum + process.timers, 0);
  world.note({ kind: "rest", isEndless: world.timeline.isEndless, timers });
  return world.history;
}

async function live(world: World): Promise<void> {
  const { plan, timeline } = world;
  for (let started = 0; started < plan.processes; started += 1) world.startProcess();
  planWork(world);
  planFaults(world);
  await timeline.pause(plan.spanMs);
  world.heal();
  // The slowest of clocks sees every lease, wait and function that is under way to its end.
  const slowest = 1 / (1 - plan.faults.drift);
  await timeline.pause((14 * plan.leaseMs + 2 * plan.storeTimeoutMs) * slowest * slowest);
  world.note({ kind: "healed" });
  if (world.anyProcess() === undefined) world.startProcess();
  for (const scope of plan.scopes) {
    for (const key of plan.keys) await lastWord(world, scope, key);
  }
  await Promise.all(world.processes.filter(({ isUp }) => isUp).map((each) => each.close(10_000)));
}

function planWork(world: World): void {
  const { dice, plan } = world;
  const at = (task: (process: Process) => void) => {
    const start = () => {
      const process = world.anyProcess();
      if (process !== undefined) task(process);
    };
    world.timeline.after(dice.between(0, plan.spanMs), start);
  };
  for (let planned = 0; planned < plan.calls; ) {
    const together = dice.chance(0.25) ? dice.whole(2, 5) : 1;
    planned += together;
    at((process) => {
      for (let made = 0; made < together; made += 1) {
        const other = dice.chance(0.3) ? (world.anyProcess() ?? process) : process;
        void makeCall(world, other, drawCall(dice, plan));
      }
    });
  }
  for (let planned = 0; planned < plan.settles; planned += 1) {
    at((process) => void settle(world, process));
  }
  for (let planned = 0; planned < plan.removals; planned += 1) {
    at((process) => {
      const { scope, key, record } = anyRecord(world);
      void world.operate(process, record, "remove", () => process.engine.remove(scope, key));
    });
  }
  for (let planned = 0; planned < plan.purges; planned += 1) {
    at((process) => {
      const limit = dice.whole(1, 3);
      const purge = () => process.engine.purge({ limit });
      void world.operate(process, "", `purge ${limit}`, purge);
    });
  }
  if (plan.progressSteps > 0) at((process) => void makeProgress(world, process));
  if (plan.progressSteps > 3) at((process) => void makeProgress(world, process));
}

function anyRecord({ dice, plan }: World) {
  const scope = dice.pick(plan.scopes as [string, ...string[]]);
  const key = dice.pick(plan.keys as [string, ...string[]]);
  return { scope, key, record: recordOf({ scope: `${scope.length}:${scope}`, key }) };
}

async function settle(world: World, process: Process): Promise<void> {
  const { scope, key, record } = anyRecord(world);
  const canary = `canary-${scope}`;
  const decision: Decision = world.dice.pick<Decision>([
    { by: "ops", why: "seen at the provider", as: "succeeded", value: { canary, lines: [] } },
    { by: "ops", why: "not at the provider", as: "failed", error: new Error(`no ${canary}`) },
    { by: "ops", why: "it never happened", as: "released" },
  ]);
  const { as } = decision;
  const overrules = as !== "released" && world.dice.chance(0.4) ? as : undefined;
  const overrule = overrules !== undefined;
  const act = () => process.engine.settle(scope, key, decision, { overrule });
  await world.operate(process, record, `settle as ${as}`, act, overrules);
}

function planFaults(world: World): void {
  const { dice, plan, timeline } = world;
  const { faults, leaseMs } = plan;
  const at = (times: number, task: () => void) => {
    for (let planned = 0; planned < times; planned += 1) {
      timeline.after(dice.between(0, plan.spanMs), task);
    }
  };
  at(faults.deaths, () => {
    world.anyProcess()?.die();
    const restart = () => world.startProcess();
    if (dice.chance(0.8)) timeline.after(dice.between(0, 2) * leaseMs, restart);
  });
  at(faults.pauses, () => {
    const forMs = dice.between(0.2, 4) * leaseMs;
    const process = world.anyProcess();
    if (process === undefined) return;
    process.standStill(forMs);
    world.note({ kind: "fault", what: `${process.name} stands still for ${forMs.toFixed(0)} ms` });
  });
  at(faults.outages, () => {
    const forMs = dice.between(0.1, 2) * leaseMs;
    world.isOut = true;
    world.note({ kind: "fault", what: `nobody reaches the store for ${forMs.toFixed(0)} ms` });
    timeline.after(forMs, () => {
      world.isOut = false;
    });
  });
  at(faults.clockSteps, () => {
    const byMs = Math.round(dice.between(-3, 1) * leaseMs);
    world.server.stepClock(byMs);
    world.note({ kind: "fault", what: `the store's clock jumps by ${byMs} ms` });
  });
  at(faults.closings, () => {
    const graceMs = Math.floor(dice.between(0, 2) * leaseMs);
    const process = world.anyProcess();
    if (process === undefined) return;
    void process.close(graceMs);
  });
}

/** Once all is well again, a record answers its callers, or is listed as open. */
async function lastWord(world: World, scope: string, key: string): Promise<void> {
  const { dice, plan, timeline } = world;
  const record = recordOf({ scope: `${scope.length}:${scope}`, key });
  let told = "";
  let payload = 1;
  for (let tried = 0; tried < LAST_WORD_TRIES_MAX; tried += 1) {
    const process = world.anyProcess() ?? world.startProcess();
    const drawn = drawCall(dice, plan);
    told = await makeCall(world, process, {
      ...drawn,
      scope,
      key,
      payload: `content-${payload}`,
      work: { ...drawn.work, durationMs: 1, mayHang: false },
      leavesAfterMs: undefined,
    });
    if (told === "PAYLOAD_CONFLICT" && payload < plan.payloads) payload += 1;
    else if (told !== "IN_PROGRESS") break;
    else await timeline.pause(plan.leaseMs);
  }
  const isListed = told === "OUTCOME_UNKNOWN" && (await isOpen(world, scope, key));
  world.note({ kind: "last word", record, told, isListed });
}

async function isOpen(world: World, scope: string, key: string): Promise<boolean> {
  // What its own call has left open may still have some of its lease.
  await world.timeline.pause(3 * world.plan.leaseMs);
  const { engine } = world.anyProcess() ?? world.startProcess();
  for (const state of ["lapsed", "unknown"] as const) {
    const { records } = await engine.list({ state });
    if (records.some((each) => each.scope[0] === scope && each.key === key)) return true;
  }
  return false;
}
