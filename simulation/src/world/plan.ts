import type { Dice } from "./dice.ts";

/** How often, or how many times, each thing goes wrong. */
export interface Faults {
  /** Shares of messages. */
  readonly requestLost: number;
  readonly answerLost: number;
  readonly silent: number;
  readonly late: number;
  readonly doubled: number;
  readonly partial: number;
  readonly scattered: number;
  readonly fatal: number;
  /** Times in the life of the world. */
  readonly deaths: number;
  readonly pauses: number;
  readonly outages: number;
  readonly clockSteps: number;
  readonly closings: number;
  /** By how much a clock may run too fast or too slow. */
  readonly drift: number;
  /** Shares of the requests to the provider. */
  readonly provider: ProviderFaults;
  /** Shares of the statements of transactions. */
  readonly database: DatabaseFaults;
}

interface ProviderFaults {
  /** The request never arrives. */
  readonly lost: number;
  /** The request arrives after its caller may have given up. */
  readonly late: number;
  /** It is booked, and no response comes. */
  readonly unanswered: number;
  /** A query is not answered, or answered with doubt. */
  readonly doubtful: number;
}

interface DatabaseFaults {
  /** The connection ends, before or after the statement was done. */
  readonly cut: number;
  /** The server rolls back because of a deadlock. */
  readonly deadlock: number;
  /** The response to a COMMIT is lost. */
  readonly commitLost: number;
}

/** What a simulated function does: it lets time pass, calls the provider as a whole or in steps, or works in a transaction. */
export type WorkKind = "waits" | "calls" | "steps" | "transacts";

export interface Plan {
  readonly leaseMs: number;
  readonly storeTimeoutMs: number;
  readonly processes: number;
  readonly scopes: readonly [string, ...string[]];
  readonly keys: readonly [string, ...string[]];
  readonly payloads: number;
  readonly calls: number;
  readonly settles: number;
  readonly removals: number;
  readonly purges: number;
  readonly progressSteps: number;
  readonly spanMs: number;
  /** Share of calls under at-least-once; 0 and 1 make worlds of one guarantee. */
  readonly atLeastOnce: number;
  /** Share of functions that throw. */
  readonly throwing: number;
  /** The kinds of work, each as often as it is drawn. */
  readonly works: readonly [WorkKind, ...WorkKind[]];
  /** Share of functions that read `signal`. */
  readonly listening: number;
  /** How many steps a function with steps has, and the share of them that can be reconciled. */
  readonly steps: number;
  readonly reconcilable: number;
  /** Share of calls that have a limit to their run. */
  readonly limited: number;
  /** Undefined: the default, which is the lease of the call. */
  readonly settleAfterMs: number | undefined;
  /** How long the provider may still receive a request: shorter than it is waited before it is asked. */
  readonly providerLateMs: number;
  readonly faults: Faults;
}

const RATE_MAX = 0.25;
/** Part of the time before the provider is asked. The rest covers a store's clock of whole milliseconds. */
const LATE_SHARE = 0.9;

/**
 * A call without steps has effects of which the log of steps shows nothing. So the calls of a key have steps
 * all, or none.
 */
const WORKS: readonly [Plan["works"], ...Plan["works"][]] = [
  ["waits"],
  ["waits"],
  ["waits"],
  ["calls"],
  ["steps"],
  ["steps"],
  ["steps"],
  ["transacts"],
  ["transacts", "waits"],
  ["waits", "calls", "transacts"],
];

/** Draws a world: which faults there are at all differs from world to world, not only how many. */
export function drawPlan(dice: Dice): Plan {
  const leaseMs = dice.pick([100, 150, 400]);
  const storeTimeoutMs = dice.pick([20, 60, 200, 500]);
  const isLong = dice.chance(0.3);
  const works = dice.pick(WORKS);
  // Where there are effects outside, more happens that an operator has to decide about.
  const hasProvider = works.includes("steps") || works.includes("calls");
  const settleAfterMs = dice.chance(0.5) ? dice.pick([0.5, 1, 2]) * leaseMs : undefined;
  return {
    leaseMs,
    storeTimeoutMs,
    processes: dice.whole(1, 3),
    scopes: dice.chance(0.4) ? ["shop-a", "shop-b"] : ["shop-a"],
    keys: dice.chance(0.3) ? ["k1", "k2"] : ["k1"],
    payloads: dice.chance(0.3) ? 2 : 1,
    calls: dice.whole(3, 10),
    settles: dice.chance(hasProvider ? 0.6 : 0.35) ? dice.whole(1, 3) : 0,
    removals: dice.chance(0.1) ? 1 : 0,
    purges: isLong ? dice.whole(0, 4) : dice.whole(0, 1),
    progressSteps: dice.chance(0.25) ? dice.whole(2, 6) : 0,
    // Long worlds outlive what is recorded in them.
    spanMs: isLong
      ? dice.between(8, 40) * (leaseMs + storeTimeoutMs)
      : dice.between(1, 8) * leaseMs,
    atLeastOnce: dice.pick([0, 0, 0.5, 1]),
    throwing: dice.pick([0, 0.15, 0.4]),
    works,
    listening: dice.pick([0, 0.3, 0.8]),
    steps: dice.whole(1, 3),
    reconcilable: dice.pick([0, 0.5, 1, 1]),
    limited: dice.pick([0, 0.1, 0.4]),
    settleAfterMs,
    providerLateMs: LATE_SHARE * (settleAfterMs ?? leaseMs) - 2,
    faults: drawFaults(dice, hasProvider ? 0.5 : 0.4),
  };
}

/** @param ending how often processes die or are closed */
function drawFaults(dice: Dice, ending: number): Faults {
  const isCalm = dice.chance(0.1);
  const share = (most = RATE_MAX) => (isCalm || dice.chance(0.6) ? 0 : dice.between(0.02, most));
  const times = (most: number) => (isCalm || dice.chance(0.6) ? 0 : dice.whole(1, most));
  return {
    requestLost: share(),
    answerLost: share(),
    silent: dice.fraction(),
    late: share(),
    // In some worlds most of what was sent comes again, long after its sender has gone on.
    doubled: dice.chance(0.12) ? dice.between(0.3, 0.8) : share(),
    partial: share(),
    scattered: share(),
    fatal: share(0.08),
    deaths: !isCalm && dice.chance(ending) ? dice.whole(1, 2) : 0,
    pauses: times(3),
    outages: times(2),
    clockSteps: dice.chance(0.6) ? 0 : times(3),
    closings: dice.chance(ending) ? 1 : 0,
    drift: dice.chance(0.7) ? 0 : dice.between(0.01, 0.1),
    provider: { lost: share(), late: share(0.5), unanswered: share(0.5), doubtful: share() },
    database: { cut: share(0.1), deadlock: share(0.1), commitLost: share(0.5) },
  };
}
