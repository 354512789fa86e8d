import {
  type CallOptions,
  type Context,
  IdempotencyError,
  type LapsedPolicy,
  type OperationOptions,
  ReplayedError,
} from "@idemkit/engine";
import type { Told } from "../history.ts";
import type { Dice } from "./dice.ts";
import type { Plan } from "./plan.ts";
import type { Process } from "./process.ts";
import { recordOf } from "./server.ts";
import type { World } from "./world.ts";

type End = "complete" | "fail" | "release" | "hold";

interface CallPlan {
  readonly scope: string;
  readonly key: string;
  readonly payload: string;
  readonly verb: "execute" | "begin";
  readonly options: OperationOptions;
  readonly takesOver: boolean;
  readonly durationMs: number;
  readonly end: End;
  /** Whether the result is one that JSON can carry. */
  readonly isKeepable: boolean;
  /** After how long the caller leaves, if it does. */
  readonly leavesAfterMs: number | undefined;
}

/** What a function returns: it says whose it is, so that nobody else's is mistaken for it. */
interface Result {
  run: number;
  canary: string;
  payload: string;
  lines: string[];
  /** There where the result is not to survive JSON. */
  total?: bigint;
}

const LEFT = new Error("the caller left");

export function drawCall(dice: Dice, plan: Plan): CallPlan {
  const isRerunning = dice.chance(plan.atLeastOnce);
  const onLapsed = dice.chance(0.05) ? dice.pick<LapsedPolicy>(["block", "rerun"]) : undefined;
  const onError = dice.chance(0.25)
    ? dice.pick<keyof typeof ENDS>(["record", "release", "hold"])
    : undefined;
  const isPure = plan.atLeastOnce === 0;
  const throws = dice.chance(plan.throwing);
  const leaseMs = dice.chance(0.2) ? plan.leaseMs * 2 : plan.leaseMs;
  const policy = onError ?? (isRerunning ? "release" : "record");
  return {
    scope: dice.pick(plan.scopes as [string, ...string[]]),
    key: dice.pick(plan.keys as [string, ...string[]]),
    payload: `content-${dice.whole(1, plan.payloads)}`,
    verb: dice.chance(0.2) ? "begin" : "execute",
    options: {
      guarantee: isRerunning ? "at-least-once" : "at-most-once",
      ...(onError !== undefined && { onError }),
      ...(onLapsed !== undefined && !isPure && { onLapsed }),
      onDuplicate: dice.chance(0.5) ? "reject" : { waitMs: dice.whole(1, 4 * plan.leaseMs) },
      leaseMs,
      replayMs: Math.ceil(10 * (leaseMs + plan.storeTimeoutMs) * dice.between(1, 1.3)),
    },
    takesOver: isPure ? false : (onLapsed ?? (isRerunning ? "rerun" : "block")) === "rerun",
    durationMs: drawDuration(dice, plan),
    end: throws ? ENDS[policy] : "complete",
    isKeepable: !dice.chance(0.04),
    leavesAfterMs: dice.chance(0.06) ? dice.between(0, 2 * plan.leaseMs) : undefined,
  };
}

const ENDS = { record: "fail", release: "release", hold: "hold" } as const;

function drawDuration(dice: Dice, plan: Plan): number {
  if (dice.chance(0.2)) return 0;
  if (dice.chance(0.2)) return dice.between(1, 4) * plan.leaseMs;
  return dice.between(0, 1.3) * plan.leaseMs;
}

/** Makes the call and writes down what became of it. */
export async function makeCall(world: World, process: Process, plan: CallPlan): Promise<string> {
  const call = world.nextCall();
  const { scope, key, payload, verb, options, takesOver } = plan;
  const record = recordOf({ scope: `${scope.length}:${scope}`, key });
  const mayLeave = plan.leavesAfterMs !== undefined;
  const about = { process: process.name, record, payload, takesOver, mayLeave, how: verb, plan };
  world.note({ kind: "call", call, ...about });
  const function_ = new SimulatedFunction(world, process, call, plan);
  const signalled: CallOptions =
    plan.leavesAfterMs === undefined
      ? options
      : { ...options, signal: leavingAfter(process, plan.leavesAfterMs) };
  const told = await (verb === "execute"
    ? executed(process, function_, plan, signalled)
    : begun(process, function_, plan, signalled)
  ).catch(toldBy);
  if (process.isUp) world.note({ kind: "told", call, told });
  return told.as === "error" ? told.code : told.as;
}

function leavingAfter(process: Process, delayMs: number): AbortSignal {
  const leaving = new AbortController();
  process.later(delayMs, () => leaving.abort(LEFT));
  return leaving.signal;
}

async function executed(
  process: Process,
  function_: SimulatedFunction,
  { scope, key, payload }: CallPlan,
  options: CallOptions,
): Promise<Told> {
  const run = (context: Context) => function_.run(context) as Promise<never>;
  const outcome = await process.engine.execute(scope, key, { payload }, run, options);
  const value = textOf(outcome.value);
  spoil(outcome.value);
  if (outcome.replayed) return { as: "replayed", value, token: outcome.token };
  return { as: "executed", value, recorded: outcome.recorded };
}

async function begun(
  process: Process,
  function_: SimulatedFunction,
  { scope, key, payload, end }: CallPlan,
  { onError: _, ...options }: CallOptions,
): Promise<Told> {
  const outcome = await process.engine.begin(scope, key, { payload }, options);
  if (outcome.kind === "replay") {
    const value = textOf(outcome.value);
    spoil(outcome.value);
    return { as: "replayed", value, token: outcome.token };
  }
  const { claim } = outcome;
  try {
    const result = await function_.run(claim);
    const value = textOf(result);
    const { recorded } = await claim.complete(result);
    return { as: "executed", value, recorded };
  } catch (error) {
    if (!(error instanceof Declined)) throw error;
    switch (end) {
      case "release":
        return { as: "released", ...(await claim.release()) };
      case "hold":
        return { as: "held", ...(await claim.hold(error)) };
      default:
        return { as: "failed", ...(await claim.fail(error)) };
    }
  }
}

/** What the functions of simulated callers throw. */
class Declined extends Error {}

class SimulatedFunction {
  readonly #world: World;
  readonly #process: Process;
  readonly #call: number;
  readonly #plan: CallPlan;

  constructor(world: World, process: Process, call: number, plan: CallPlan) {
    this.#world = world;
    this.#process = process;
    this.#call = call;
    this.#plan = plan;
  }

  async run({ token, attempt }: Pick<Context, "token" | "attempt">): Promise<Result> {
    const world = this.#world;
    const call = this.#call;
    const { end, durationMs, scope, payload, isKeepable } = this.#plan;
    const run = world.nextRun();
    world.note({ kind: "run", call, token, attempt });
    if (durationMs > 0) await this.#process.pass(durationMs);
    const canary = `canary-${scope}`;
    if (end !== "complete") {
      const said = `declined run ${run} of ${payload} with ${canary}`;
      world.note({ kind: "ran", call, end, said });
      throw new Declined(said);
    }
    const result: Result = { run, canary, payload, lines: ["paid"] };
    if (!isKeepable) result.total = 10n;
    world.note({ kind: "ran", call, end, said: textOf(result) });
    return result;
  }
}

/** Callers own what they get: whatever they do to it must not reach anybody else. */
function spoil(value: unknown): void {
  const result = value as Result | undefined;
  result?.lines?.push("spoilt");
}

function textOf(value: unknown): string {
  return (
    JSON.stringify(value, (_name, each: unknown) =>
      typeof each === "bigint" ? `${each}n` : each,
    ) ?? ""
  );
}

export function toldBy(error: unknown): Told {
  if (error === LEFT) return { as: "aborted" };
  if (error instanceof Declined) return { as: "threw", message: error.message };
  if (!(error instanceof IdempotencyError)) return { as: "fault", what: String(error) };
  const { token, reason } = error as { readonly token?: number; readonly reason?: string };
  const cause = error instanceof ReplayedError ? (error.cause as Error).message : undefined;
  return {
    as: "error",
    code: error.code,
    message: error.message,
    ...(cause !== undefined && { cause }),
    ...(token !== undefined && { token }),
    ...(reason !== undefined && { reason }),
  };
}
