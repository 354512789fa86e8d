import {
  CUTS,
  type CutExchange,
  drawFates,
  type Fate,
  startCuttingProxy,
} from "@idemkit/test-servers";
import { onTestFinished } from "vitest";
import type { Charged, Client, ClientAt } from "./clients.ts";
import { type Authorisation, type ChargeRow, listening } from "./world.ts";

export const CALLS = 200;
const CALLERS = 30;
/** Of three requests, one is cut. */
const CUT_CHANCE = 0.33;
const CUTS_MAX = 1_000;
/** Long enough for a retry to come while the first attempt runs. */
const NETWORK_MS = 60;

/** One logical operation, and how it ended for its caller. */
export interface Call {
  readonly orderId: string;
  readonly key: string;
  readonly charged?: Charged;
  readonly error?: unknown;
  /** What became of its requests, in their order. */
  readonly fates: readonly Fate[];
}

/** A load that is over, on an API that still runs. */
export interface Loaded {
  readonly calls: readonly Call[];
  readonly rows: readonly ChargeRow[];
  readonly authorisations: readonly Authorisation[];
  readonly takesKeys: boolean;
  /** Calls again for those that have failed, with their keys and by a line that is whole. */
  callAgain(): Promise<Pick<Loaded, "calls" | "rows" | "authorisations">>;
}

/** Lets many callers charge at once, each order once, by a line that is cut again and again. */
export async function load(
  clientAt: ClientAt,
  seed: number,
  isProtected: boolean,
): Promise<Loaded> {
  const { origin, rows, authorisations } = await listening({ isProtected, networkMs: NETWORK_MS });
  const proxy = await startCuttingProxy(origin, drawFates(seed, CUT_CHANCE, CUTS_MAX));
  onTestFinished(() => proxy.stop());
  const orders = Array.from({ length: CALLS }, (_, index) => `order-${index + 1}`);
  const client = clientAt(proxy.url);
  const ended = await callEach(client, orders.map(keyed));
  const byOrder = grouped(proxy.exchanges, orderOf);
  const fatesOf = (orderId: string) => (byOrder.get(orderId) ?? []).map(({ fate }) => fate);
  return {
    calls: ended.map((call) => ({ ...call, fates: fatesOf(call.orderId) })),
    rows: await rows(),
    authorisations: authorisations(),
    takesKeys: client.takesKeys,
    callAgain: async () => {
      const failed = ended.filter(({ charged }) => charged === undefined);
      const calls = await callEach(clientAt(origin), failed);
      return { calls, rows: await rows(), authorisations: authorisations() };
    },
  };
}

interface Keyed {
  readonly orderId: string;
  readonly key: string;
}

function keyed(orderId: string): Keyed {
  return { orderId, key: `key-of-${orderId}` };
}

async function callEach(client: Client, wanted: readonly Keyed[]): Promise<readonly Call[]> {
  onTestFinished(() => client.close());
  const waiting = wanted.values();
  const ended: Call[] = [];
  const callUntilDone = async () => {
    for (const { orderId, key } of waiting) {
      const call = { orderId, key, fates: [] };
      await client.charge(orderId, key).then(
        (charged) => ended.push({ ...call, charged }),
        (error: unknown) => ended.push({ ...call, error }),
      );
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, callUntilDone));
  return ended;
}

function orderOf({ request }: CutExchange): string {
  return /order-\d+$/.exec(request)?.[0] ?? "";
}

/** What a load has met with, in figures. */
export function figuresOf({ calls, rows }: Pick<Loaded, "calls" | "rows">) {
  const fates = calls.flatMap((call) => call.fates);
  const count = (wanted: Fate) => fates.filter((fate) => fate === wanted).length;
  return {
    calls: calls.length,
    failed: calls.filter(({ charged }) => charged === undefined).length,
    retries: calls.reduce((sum, call) => sum + Math.max(0, call.fates.length - 1), 0),
    replayed: calls.filter(({ charged }) => charged?.isReplayed).length,
    cuts: CUTS.map(count),
    rows: rows.length,
    doubled: doubledIn(rows).length,
  };
}

/** The orders that were charged more than once. */
export function doubledIn(rows: readonly ChargeRow[]): readonly string[] {
  const byOrder = grouped(rows, ({ orderId }) => orderId);
  return [...byOrder].filter(([, of]) => of.length > 1).map(([orderId]) => orderId);
}

/** The calls that were told of a charge which the database does not have. */
export function lostIn({ calls, rows }: Pick<Loaded, "calls" | "rows">): readonly Call[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return calls.filter(({ orderId, charged }) => {
    if (charged === undefined) return false;
    const row = byId.get(charged.id);
    return row?.orderId !== orderId || row.status !== "succeeded";
  });
}

/** The calls that were told of a replay where there was none, or were not told of one. */
export function misjudgedIn(calls: readonly Call[]): readonly Call[] {
  return calls.filter(({ charged, fates }) => {
    if (charged === undefined) return false;
    const [wasAnswered, wasHeard] = [
      fates.some((fate) => fate === "unanswered" || fate === "half-answered"),
      // Whether the server still saw the request whose client was gone depends on who was faster.
      fates.includes("abandoned"),
    ];
    return charged.isReplayed ? !wasAnswered && !wasHeard : wasAnswered;
  });
}

function grouped<T>(all: readonly T[], nameOf: (each: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(nameOf(each));
    if (group === undefined) groups.set(nameOf(each), [each]);
    else group.push(each);
  }
  return groups;
}
