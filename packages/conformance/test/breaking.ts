import type { ClaimRequest, Completion, Renewal, Store } from "@idemkit/engine";
import { modelStore, type StoredRecord, type Transition, transition } from "@idemkit/engine/model";
import type { Harness } from "../src/index.ts";

/** A deliberately broken store, and the clause that has to catch it. */
export interface Mutant {
  readonly name: string;
  readonly caughtBy: string;
  readonly harness: () => Harness;
}

/** The input of any operation, loosely: a mutant looks only at the part that it breaks. */
export type AnyGiven = Omit<ClaimRequest, "checkpoint"> & Omit<Renewal, "checkpoint"> & Completion;
export interface AnyStep {
  readonly record: StoredRecord | undefined;
  readonly answer: unknown;
}
export type Rules = (
  record: StoredRecord | undefined,
  name: string,
  given: AnyGiven,
  nowMs: number,
) => AnyStep;

export const sound = transition as unknown as Rules;
export const HOUR_MS = 3_600_000;
export const NOBODY = "0".repeat(32);

/** The store's clock. It stays right where a clause sets `Date` wrong. */
export const storeNow = Date.now;

/** A broken store on a model store's records. The parts that are left out are sound. */
export interface Broken {
  readonly rules?: Rules;
  readonly wrap?: (
    store: Store,
    records: Map<string, StoredRecord>,
    index: number,
  ) => Partial<Store>;
  /** The clock of each handle. */
  readonly clock?: (index: number) => number;
}

export function harnessOf({
  rules = sound,
  wrap = () => ({}),
  clock = () => storeNow(),
}: Broken): Harness {
  const records = new Map<string, StoredRecord>();
  const handle = (index: number): Store => {
    const options = { transition: rules as unknown as Transition, records };
    const store = modelStore({ ...options, clock: () => clock(index) });
    return { ...store, ...wrap(store, records, index) };
  };
  return {
    stores: [handle(0), handle(1)],
    async elapse(ms, digests) {
      for (const digest of digests) {
        const record = records.get(digest);
        if (record === undefined) continue;
        records.set(digest, {
          ...record,
          leaseEndsAt: record.leaseEndsAt - ms,
          expiresAt: record.expiresAt - ms,
          createdAt: record.createdAt - ms,
          completedAt: record.completedAt === undefined ? undefined : record.completedAt - ms,
        });
      }
    },
  };
}

/** Rules without the fence of the token. */
export const ofAnyToken: Rules = (record, name, given, nowMs) =>
  sound(record, name, { ...given, token: record?.token ?? 0 } as AnyGiven, nowMs);

/** A mutant whose rules differ for one operation. */
export function ruled(name: string, caughtBy: string, operation: string, broken: Rules): Mutant {
  const rules: Rules = (record, asked, given, nowMs) =>
    (asked === operation ? broken : sound)(record, asked, given, nowMs);
  return { name, caughtBy, harness: () => harnessOf({ rules }) };
}

/** A mutant whose store is wrapped. */
export function wrapped(name: string, caughtBy: string, wrap: NonNullable<Broken["wrap"]>): Mutant {
  return { name, caughtBy, harness: () => harnessOf({ wrap }) };
}

/** Applies an operation as if its caller were the record's owner. */
export const unfenced: Rules = (record, name, given, nowMs) =>
  sound(record, name, { ...given, owner: record?.owner ?? given.owner }, nowMs);

/** Keeps the sound result but changes the stored record. */
export function storing(
  change: (after: StoredRecord, before?: StoredRecord) => Partial<StoredRecord>,
): Rules {
  return (record, name, given, nowMs) => {
    const { record: after, answer } = sound(record, name, given, nowMs);
    return { answer, record: after && { ...after, ...change(after, record) } };
  };
}

/** Applies the sound rules to a record seen otherwise than it is. */
export function seeing(
  change: (record: StoredRecord, given: AnyGiven, nowMs: number) => Partial<StoredRecord>,
): Rules {
  return (record, name, given, nowMs) =>
    sound(record && { ...record, ...change(record, given, nowMs) }, name, given, nowMs);
}

export const refused = (record: StoredRecord | undefined): AnyStep => ({ record, answer: false });
export const told = (record: StoredRecord | undefined): AnyStep => ({ record, answer: true });
export const isDone = (record?: StoredRecord) =>
  record?.status === "succeeded" || record?.status === "failed";

/** A mutant that changes its input. */
export function given(
  name: string,
  caughtBy: string,
  operation: string,
  change: (given: AnyGiven) => Partial<AnyGiven> & { readonly checkpoint?: unknown },
): Mutant {
  return ruled(name, caughtBy, operation, (record, asked, entry, nowMs) =>
    sound(record, asked, { ...entry, ...change(entry) } as AnyGiven, nowMs),
  );
}
