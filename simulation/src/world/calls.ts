import {
  type CallOptions,
  type ClaimContext,
  type Context,
  type ErrorPolicy,
  type Finding,
  IdempotencyError,
  ReplayedError,
  type TransactionalEngine,
} from "@idemkit/engine";
import type { Told } from "../history.ts";
import type { Tx } from "./database.ts";
import type { CallPlan } from "./draw-call.ts";
import { type Result, referencesOf, SimulatedFunction, type Site, textOf } from "./function.ts";
import type { Process } from "./process.ts";
import { ask, joined } from "./run-steps.ts";
import { recordOf } from "./server.ts";
import type { World } from "./world.ts";

const LEFT = new Error("the caller left");

/** Makes the call and writes down what became of it. */
export async function makeCall(world: World, process: Process, plan: CallPlan): Promise<string> {
  const call = world.nextCall();
  const { scope, key, payload, verb, reruns, work, options } = plan;
  const record = recordOf({ scope: `${scope.length}:${scope}`, key });
  const { maxRunMs } = options;
  world.note({
    ...{ kind: "call", call, process: process.name, record, payload, how: verb, plan },
    takesOver: reruns,
    isAtMostOnce: options.guarantee === "at-most-once",
    mayLeave: plan.leavesAfterMs !== undefined,
    hasSteps: work.kind === "steps",
    mayHang: work.mayHang,
    settleAfterMs: world.plan.settleAfterMs ?? options.leaseMs ?? 0,
    ...(typeof maxRunMs === "number" && { maxRunMs }),
  });
  const site = { world, process, call, record, plan };
  const function_ = new SimulatedFunction(site);
  const told = await verbs[verb](site, function_, optionsOf(site, function_)).catch(
    (error: unknown) => toldBy(error, function_),
  );
  if (process.isUp) world.note({ kind: "told", call, told });
  return told.as === "error" ? told.code : told.as;
}

function optionsOf(site: Site, function_: SimulatedFunction): CallOptions {
  const { world, process, call, plan } = site;
  const { policy, leavesAfterMs } = plan;
  const onError = (): ErrorPolicy => {
    world.note({ kind: "decides", call });
    return policy;
  };
  return {
    ...plan.options,
    ...(plan.isDecidedByFunction && { onError }),
    ...(plan.asksFirst && { onLapsed: (context) => findOut(site, function_, context) }),
    ...(leavesAfterMs !== undefined && { signal: leavingAfter(process, leavesAfterMs) }),
  };
}

/** What became of lapsed work as a whole. */
async function findOut(
  site: Site,
  function_: SimulatedFunction,
  { token }: ClaimContext,
): Promise<Finding<unknown>> {
  const asked = ask(site, token, "", referencesOf(site));
  const findings = await asked.catch((error: unknown) => function_.throws(error));
  const finding = joined(findings);
  if (finding !== "happened") return finding;
  const [first] = findings as readonly [{ readonly happened: string }];
  return { happened: JSON.parse(first.happened) as unknown };
}

function leavingAfter(process: Process, delayMs: number): AbortSignal {
  const leaving = new AbortController();
  process.later(delayMs, () => leaving.abort(LEFT));
  return leaving.signal;
}

type Verb = (site: Site, function_: SimulatedFunction, options: CallOptions) => Promise<Told>;

const verbs: Readonly<Record<CallPlan["verb"], Verb>> = {
  async execute({ process, plan }, function_, options) {
    const { scope, key, payload } = plan;
    const run = (context: Context) => function_.run(context) as Promise<never>;
    const outcome = await process.engine.execute(scope, key, { payload }, run, options);
    return toldOf(outcome);
  },

  async transaction({ process, plan }, function_, options) {
    const { scope, key, payload } = plan;
    const engine = process.engine as TransactionalEngine<Tx, false>;
    const work = (tx: Tx, context: ClaimContext) =>
      function_.transact(tx, context) as Promise<never>;
    return toldOf(await engine.transaction(scope, key, { payload }, work, options));
  },

  async begin({ process, plan }, function_, { onError: _, ...options }) {
    const { scope, key, payload, policy } = plan;
    const outcome = await process.engine.begin(scope, key, { payload }, options);
    if (outcome.kind === "replay") return toldOf(outcome);
    const { claim } = outcome;
    let result: Result;
    try {
      result = await function_.run(claim);
    } catch (error) {
      switch (policy) {
        case "release":
          return { as: "released", ...(await claim.release()) };
        case "hold":
          return { as: "held", ...(await claim.hold(error)) };
        default:
          return { as: "failed", ...(await claim.fail(error)) };
      }
    }
    const value = textOf(result);
    const { recorded } = await claim.complete(result);
    return { as: "executed", value, recorded };
  },
};

interface Returned {
  readonly value: unknown;
  readonly replayed: boolean;
  readonly recorded: boolean;
  readonly token: number;
}

function toldOf({ value, replayed, recorded, token }: Returned): Told {
  const text = textOf(value);
  spoil(value);
  if (replayed) return { as: "replayed", value: text, token };
  return { as: "executed", value: text, recorded, token };
}

/** Callers own what they get: whatever they do to it must not reach another. */
function spoil(value: unknown): void {
  const result = value as Result | undefined;
  result?.lines?.push("spoilt");
}

/** @param function_ the function of the call, whose own error comes out as it is */
export function toldBy(error: unknown, function_?: SimulatedFunction): Told {
  if (error === LEFT) return { as: "aborted" };
  if (function_?.hasThrown(error)) return { as: "threw", message: (error as Error).message };
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
