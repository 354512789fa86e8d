import { decodeError, decodeValue, encodeError, encodeValue } from "./body.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { describe, shown } from "./describe.ts";
import { EngineClosedError, SettleRefusedError } from "./errors.ts";
import { splitScope } from "./identity.ts";
import { readLog } from "./step-log.ts";
import type {
  Checkpoint,
  ListQuery,
  OpenState,
  RecordId,
  RecordState,
  RecordView,
  Status,
} from "./store.ts";
import { pause } from "./timing.ts";

/** A record as operators see it. Times are epoch milliseconds on the store's clock. */
export interface InspectedRecord {
  /** Its parts, to be handed to `settle`, `remove` or `inspect` as they are. */
  readonly scope: readonly string[];
  readonly key: string;
  readonly digest: string;
  readonly state: RecordState;
  readonly status?: Status;
  readonly attempt: number;
  readonly token: number;
  /** How long the lease still holds; 0 or less once it lapsed. Only while there is no outcome. */
  readonly leaseRemainingMs?: number;
  readonly createdAt: number;
  readonly completedAt?: number;
  readonly expiresAt?: number;
  /** The result, or what `hold` kept as evidence. Missing where it could not be kept. */
  readonly value?: unknown;
  /** What the function threw. */
  readonly error?: unknown;
  /** Who settled it, and why. */
  readonly note?: SettleNote;
  /** How far its steps have got, where it has any, in the order in which they began. */
  readonly steps?: readonly InspectedStep[];
}

/** A step of a record: done, with its result, or begun, so that it may have happened. */
export interface InspectedStep {
  readonly name: string;
  readonly state: "begun" | "done";
  /** Missing where it could not be kept. */
  readonly value?: unknown;
}

export interface SettleNote {
  readonly by: string;
  readonly why: string;
}

/** An operator's decision about an open outcome, with who decides and why. */
export type Decision = SettleNote &
  (
    | { readonly as: "succeeded"; readonly value?: unknown }
    | { readonly as: "failed"; readonly error: unknown }
    | { readonly as: "released" }
  );

export interface SettleOptions {
  /**
   * Decides even while the lease holds, as 'succeeded' or 'failed'. The running owner is fenced: its next
   * renewal is refused, its `signal` is aborted, and its own outcome is refused. Default: false.
   */
  readonly overrule?: boolean;
}

const NOTE_LENGTH_MAX = 4_096;
const LIST_LIMIT_MAX = 1_000;
const PURGE_BATCH_MIN = 25;
const PURGE_BATCH_MAX = 800;
/** As long as a batch may hold up live calls. */
const PURGE_BATCH_MS = 10;
const PURGE_LIMIT_MAX = 10_000_000;

export async function inspect(
  { client, settings }: ClaimScope,
  id: RecordId,
): Promise<InspectedRecord | undefined> {
  const view = await client.read(id, settings.storeTimeoutMs);
  return view && inspected(view);
}

export async function list(
  { client, settings }: ClaimScope,
  query: ListQuery,
): Promise<{ readonly records: readonly InspectedRecord[]; readonly next?: string }> {
  checkState(query.state);
  checkLimit(query.limit, LIST_LIMIT_MAX);
  if (query.after !== undefined && typeof query.after !== "string") {
    throw new TypeError(`after: expected the \`next\` of a page, got ${describe(query.after)}.`);
  }
  const { records, next } = await client.list(query, settings.storeTimeoutMs);
  return { records: records.map(inspected), ...(next !== undefined && { next }) };
}

/**
 * Writes the decision in the name of the attempt that left the outcome open. The store's fence then
 * decides between the operator and an owner who comes back late: exactly one of them is told true.
 */
export async function settle(
  scope: ClaimScope,
  id: RecordId,
  decision: Decision,
  options: SettleOptions,
): Promise<void> {
  const { client, events, settings } = scope;
  checkDecision(decision);
  const { overrule = false } = options;
  checkOverrule(overrule, decision);
  const { storeTimeoutMs, replayMs } = settings;
  const view = await client.read(id, storeTimeoutMs);
  checkNotEnded(scope);
  if (view === undefined || !isOpen(view, overrule)) throw refusal(view);
  const { owner, attempt, token } = view;
  const note = JSON.stringify({ by: decision.by, why: decision.why } satisfies SettleNote);
  const outcome = outcomeOf(decision, view, settings.maxResultBytes);
  const claim = { id, owner, token };
  const completion = { ...claim, note, retentionMs: replayMs, ifLapsed: !overrule, ...outcome };
  let isDone = await client.complete(completion, storeTimeoutMs);
  // Released records keep their note: the reason stands there first, then the key is given back.
  if (isDone && decision.as === "released") {
    isDone = await client.release(claim, false, storeTimeoutMs);
  }
  if (!isDone) throw refusal(await client.read(id, storeTimeoutMs));
  // Duplicates in this process ask the store from now on, and not the function that may still run.
  client.flights.landAt(id.digest);
  const { as, by, why } = decision;
  events.emit("settled", () => ({ digest: id.digest, attempt, token, as, by, why }));
}

export async function remove(scope: ClaimScope, id: RecordId): Promise<boolean> {
  const { client, settings } = scope;
  const view = await client.read(id, settings.storeTimeoutMs);
  checkNotEnded(scope);
  if (view === undefined) return false;
  const isRemoved = await client.remove(id, view.token, settings.storeTimeoutMs);
  // As after a decision: duplicates in this process ask the store from now on.
  if (isRemoved) client.flights.landAt(id.digest);
  return isRemoved;
}

/**
 * Purges in batches, each followed by a pause as long as it took, so that live traffic goes on. They
 * grow and shrink with the time that they take here.
 */
export async function purge(
  { client, runtime, settings, lifetime }: ClaimScope,
  limit: number,
): Promise<number> {
  checkLimit(limit, PURGE_LIMIT_MAX);
  let purged = 0;
  let batch = PURGE_BATCH_MIN;
  while (purged < limit && !lifetime.isEnded) {
    const asked = Math.min(batch, limit - purged);
    const startedAtMs = runtime.monotonicMs();
    const count = await client.purge(asked, settings.storeTimeoutMs);
    purged += count;
    if (count < asked) break;
    const tookMs = runtime.monotonicMs() - startedAtMs;
    const isSlow = tookMs > PURGE_BATCH_MS;
    batch = isSlow ? Math.max(PURGE_BATCH_MIN, batch / 2) : Math.min(PURGE_BATCH_MAX, batch * 2);
    await pause(runtime, tookMs);
  }
  return purged;
}

/** Writes nothing for an engine that was closed while it read. */
function checkNotEnded({ lifetime }: ClaimScope): void {
  if (lifetime.isEnded) throw new EngineClosedError();
}

function outcomeOf(decision: Decision, view: RecordView, maxResultBytes: number) {
  switch (decision.as) {
    case "succeeded":
      return { status: "succeeded", body: settledBody(decision.value, maxResultBytes) } as const;
    case "failed":
      return { status: "failed", body: encodeError(decision.error) } as const;
    case "released":
      return { status: "unknown", body: view.body ?? encodeValue(undefined, 0).body } as const;
  }
}

/** An operator can mend a value that cannot be kept; a function that ran could not. */
function settledBody(value: unknown, maxResultBytes: number): string {
  const { body, notKeptBecause } = encodeValue(value, maxResultBytes);
  if (notKeptBecause !== undefined) {
    throw new TypeError(`${notKeptBecause.replace("the result", "value")}.`);
  }
  return body;
}

function isOpen({ state }: RecordView, overrule: boolean): boolean {
  return state === "lapsed" || state === "unknown" || (overrule && state === "in-progress");
}

function refusal(view: RecordView | undefined): SettleRefusedError {
  if (view === undefined) return new SettleRefusedError("There is no such record.", undefined);
  const { state, status } = view;
  const recorded = { state, ...(status !== undefined && { status }) };
  const why =
    state === "in-progress"
      ? "The call is still running: its lease holds. Wait until it ends or lapses, or decide it as " +
        "succeeded or failed with `overrule: true`."
      : `Only a lapsed or unknown record can be settled; this one is ${status ?? state}.`;
  return new SettleRefusedError(why, recorded);
}

function inspected(view: RecordView): InspectedRecord {
  const { id, owner, fingerprint, checkpoint, body, note, ...others } = view;
  return {
    ...others,
    scope: splitScope(id.scope),
    key: id.key,
    digest: id.digest,
    ...decoded(body),
    ...decodedNote(note),
    ...decodedSteps(checkpoint),
  };
}

/** Operators look at records that may be broken: what cannot be read is left out. */
function decoded(body: string | undefined): { readonly value?: unknown; readonly error?: unknown } {
  if (body === undefined) return {};
  try {
    if (body.startsWith("error:")) return { error: decodeError(body) };
    const value = decodeValue(body);
    return value.kept ? { value: value.value } : {};
  } catch {
    return {};
  }
}

function decodedNote(note: string | undefined): { readonly note?: SettleNote } {
  if (note === undefined) return {};
  try {
    const { by, why } = JSON.parse(note) as SettleNote;
    return { note: { by, why } };
  } catch {
    return {};
  }
}

function decodedSteps(checkpoint: Checkpoint | undefined): {
  readonly steps?: readonly InspectedStep[];
} {
  const log = checkpoint && readLog(checkpoint);
  if (log === undefined) return {};
  const steps = [...log.entries()].map(([name, state]): InspectedStep => {
    if (state.begun !== undefined) return { name, state: "begun" };
    return { name, state: "done", ...decoded(state.body) };
  });
  return { steps };
}

function checkDecision(decision: Decision): void {
  if (typeof decision !== "object" || decision === null) {
    throw new TypeError(`decision: expected { as, by, why }, got ${describe(decision)}.`);
  }
  if (!["succeeded", "failed", "released"].includes(decision.as)) {
    const as = shown(decision.as);
    throw new TypeError(`as: expected 'succeeded', 'failed' or 'released', got ${as}.`);
  }
  for (const name of ["by", "why"] as const) {
    const text: unknown = decision[name];
    const isFine = typeof text === "string" && text !== "" && text.length <= NOTE_LENGTH_MAX;
    if (isFine) continue;
    throw new TypeError(
      `${name}: expected a text of 1 to ${NOTE_LENGTH_MAX} characters, got ${describe(text)}.`,
    );
  }
}

function checkOverrule(overrule: unknown, { as }: Decision): void {
  if (typeof overrule !== "boolean") {
    throw new TypeError(`overrule: expected true or false, got ${shown(overrule)}.`);
  }
  if (!overrule || as !== "released") return;
  throw new TypeError(
    "overrule: expected as 'succeeded' or 'failed'. A key is released only once its claim has lapsed, " +
      "because its function may still run.",
  );
}

function checkState(state: OpenState): void {
  if (["in-progress", "lapsed", "unknown"].includes(state)) return;
  throw new TypeError(`state: expected 'in-progress', 'lapsed' or 'unknown', got ${shown(state)}.`);
}

function checkLimit(limit: number, max: number): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= max) return;
  throw new TypeError(`limit: expected a whole number from 1 to ${max}, got ${describe(limit)}.`);
}
