import type { ErrorPolicy, LapsedPolicy, OperationOptions } from "@idemkit/engine";
import type { Dice } from "./dice.ts";
import type { Plan, WorkKind } from "./plan.ts";

/** What a function does with `context.signal`. */
export type Listening =
  | "never reads it"
  /** As `fetch` does: it throws the reason, although the provider may have booked. */
  | "throws the reason"
  | "throws an error of its own"
  /** It reads the signal and goes on. */
  | "goes on";

/** What a function does with an error of one of its steps. */
type Catching =
  | "nothing"
  /** It catches an unknown outcome and returns a value. */
  | "doubt"
  | "everything"
  /** It asks the provider and ends the doubt. */
  | "resolves";

export interface StepPlan {
  readonly name: string;
  readonly isReconcilable: boolean;
  readonly throws: boolean;
}

interface Work {
  readonly kind: WorkKind;
  readonly durationMs: number;
  /** Whether the provider's silence is waited for without a limit. */
  readonly mayHang: boolean;
  /** Whether it ends without waiting for its last steps. */
  readonly isHasty: boolean;
  readonly listening: Listening;
  /** Steps that run side by side stand in one group. */
  readonly steps: readonly (readonly StepPlan[])[];
  readonly catching: Catching;
  /** How many rows a transaction writes. */
  readonly rows: number;
  /** What an execute function does after its transaction has committed. */
  readonly afterwards: "returns its value" | "returns another" | "throws";
}

export interface CallPlan {
  readonly scope: string;
  readonly key: string;
  readonly payload: string;
  readonly verb: "execute" | "begin" | "transaction";
  readonly options: OperationOptions;
  /** Whether it may run again what lapsed, whatever became of it. */
  readonly reruns: boolean;
  /** Whether it finds out what became of lapsed work. */
  readonly asksFirst: boolean;
  /** By which policy an error ends it, and whether a function decides so. */
  readonly policy: ErrorPolicy;
  readonly isDecidedByFunction: boolean;
  readonly work: Work;
  /** Whether its function is to throw. */
  readonly throws: boolean;
  /** Whether the result is one that JSON can carry. */
  readonly isKeepable: boolean;
  /** After how long the caller leaves, if it does. */
  readonly leavesAfterMs: number | undefined;
}

/** As the engine has it. */
const MAX_RUN_MS_MIN = 100;

export const ENDS = { record: "fail", release: "release", hold: "hold" } as const;

export function drawCall(dice: Dice, plan: Plan): CallPlan {
  const isRerunning = dice.chance(plan.atLeastOnce);
  const isPure = plan.atLeastOnce === 0;
  const work = drawWork(dice, plan);
  const isWhole = work.kind === "calls" || work.kind === "steps";
  const asksFirst = isWhole && dice.chance(work.kind === "calls" ? 0.6 : 0.15);
  const onLapsed = asksFirst ? undefined : drawOnLapsed(dice, isPure, work.kind === "steps");
  const isUsual = onLapsed === undefined || onLapsed === "default";
  const isChosen = dice.chance(work.kind === "transacts" ? 0.5 : 0.25);
  const chosen = dice.pick<ErrorPolicy>(["record", "release", "hold"]);
  const policy = isChosen ? chosen : isRerunning ? "release" : "record";
  const isDecidedByFunction = isChosen && dice.chance(0.3);
  const leaseMs = dice.chance(0.2) ? plan.leaseMs * 2 : plan.leaseMs;
  const limited = work.kind === "transacts" ? 2 * plan.limited : plan.limited;
  const isLimited = work.mayHang || dice.chance(limited);
  const { settleAfterMs } = plan;
  return {
    scope: dice.pick(plan.scopes),
    key: dice.pick(plan.keys),
    payload: `content-${dice.whole(1, plan.payloads)}`,
    verb: drawVerb(dice, work.kind),
    options: {
      guarantee: isRerunning ? "at-least-once" : "at-most-once",
      ...(isChosen && { onError: isDecidedByFunction ? () => policy : policy }),
      ...(onLapsed !== undefined && { onLapsed }),
      ...(work.kind === "steps" && { steps: true }),
      onDuplicate: dice.chance(0.5) ? "reject" : { waitMs: dice.whole(1, 4 * plan.leaseMs) },
      leaseMs,
      ...(settleAfterMs !== undefined && { settleAfterMs }),
      ...(isLimited && { maxRunMs: drawMaxRun(dice, plan) }),
      replayMs: Math.ceil(10 * (leaseMs + plan.storeTimeoutMs) * dice.between(1, 1.3)),
    },
    reruns: onLapsed === "rerun" || (isUsual && !asksFirst && isRerunning),
    asksFirst,
    policy,
    isDecidedByFunction,
    work,
    throws: dice.chance(plan.throwing),
    isKeepable: !dice.chance(0.04),
    leavesAfterMs: dice.chance(0.06) ? dice.between(0, 2 * plan.leaseMs) : undefined,
  };
}

/** Worlds of one guarantee leave it as it is, so that nothing is run again there. */
function drawOnLapsed(
  dice: Dice,
  isPure: boolean,
  hasSteps: boolean,
): LapsedPolicy | "default" | undefined {
  if (!dice.chance(0.1)) return undefined;
  if (!isPure && dice.chance(0.5)) return dice.pick(["block", "rerun"]);
  return hasSteps ? dice.pick(["block", "resume", "default"]) : "default";
}

function drawVerb(dice: Dice, kind: WorkKind): CallPlan["verb"] {
  if (kind === "transacts") return dice.chance(0.5) ? "transaction" : "execute";
  return dice.chance(0.2) ? "begin" : "execute";
}

function drawWork(dice: Dice, plan: Plan): Work {
  const kind = dice.pick(plan.works);
  const callsProvider = kind === "calls" || kind === "steps";
  return {
    kind,
    durationMs: drawDuration(dice, plan),
    mayHang: callsProvider && dice.chance(0.2),
    isHasty: dice.chance(0.1),
    listening: dice.chance(plan.listening)
      ? dice.pick<Listening>(["throws the reason", "throws an error of its own", "goes on"])
      : "never reads it",
    steps: kind === "steps" ? drawSteps(dice, plan) : [],
    catching: dice.chance(0.6)
      ? "nothing"
      : dice.pick<Catching>(["doubt", "everything", "resolves"]),
    rows: dice.whole(1, 3),
    afterwards: dice.chance(0.7)
      ? "returns its value"
      : dice.pick<Work["afterwards"]>(["returns another", "throws"]),
  };
}

/** The same names in every call of the world, in groups that differ. */
function drawSteps(dice: Dice, plan: Plan): readonly (readonly StepPlan[])[] {
  const groups: StepPlan[][] = [];
  for (let made = 1; made <= plan.steps; made += 1) {
    const step = {
      name: `s${made}`,
      isReconcilable: dice.chance(plan.reconcilable),
      throws: dice.chance(plan.throwing / 2),
    };
    const last = groups.at(-1);
    if (last !== undefined && dice.chance(0.4)) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

function drawMaxRun(dice: Dice, { leaseMs }: Plan): number {
  const leases = dice.chance(0.5) ? dice.between(0.3, 1.5) : dice.between(1, 4);
  return Math.max(MAX_RUN_MS_MIN, Math.ceil(leases * leaseMs));
}

function drawDuration(dice: Dice, plan: Plan): number {
  if (dice.chance(0.2)) return 0;
  if (dice.chance(0.2)) return dice.between(1, 4) * plan.leaseMs;
  return dice.between(0, 1.3) * plan.leaseMs;
}
