import { type StoredRecord, viewOf } from "./record.ts";
import type { RecordView, Store } from "./store.ts";
import type { Answer, Given, OperationName, Transition } from "./transition.ts";

export interface ModelStoreOptions {
  /** The rules: {@link transition}, or a broken variant of it whose discovery is to be tested. */
  readonly transition: Transition;
  /** What is kept, by digest. Two stores on one map are two handles on the same records. */
  readonly records: Map<string, StoredRecord>;
  /** Epoch milliseconds. */
  readonly clock: () => number;
}

/**
 * A store made of transitions and a map. Nothing is awaited between reading a record and writing
 * it, which makes each transition atomic.
 */
export function modelStore({ transition, records, clock }: ModelStoreOptions): Store {
  function apply<Name extends OperationName>(
    digest: string,
    name: Name,
    given: Given<Name>,
    nowMs: number,
  ): Answer<Name> {
    const before = records.get(digest);
    const { record, answer } = transition(before, name, given, nowMs);
    if (record === undefined) records.delete(digest);
    else if (record !== before) records.set(digest, record);
    return answer;
  }

  /** One operation on each entry of a list, at one moment. */
  function applyEach<Name extends "claim" | "renew" | "complete" | "release">(name: Name) {
    return async (entries: readonly Given<Name>[]): Promise<readonly Answer<Name>[]> => {
      const nowMs = clock();
      return entries.map((entry) => apply(entry.id.digest, name, entry, nowMs));
    };
  }

  return {
    claim: applyEach("claim"),
    renew: applyEach("renew"),
    complete: applyEach("complete"),
    release: applyEach("release"),

    async read(ids) {
      const nowMs = clock();
      return ids.map((id) => apply(id.digest, "read", id, nowMs));
    },

    async list({ state, after = "", limit }) {
      const nowMs = clock();
      const found: RecordView[] = [];
      for (const digest of [...records.keys()].sort()) {
        if (digest <= after) continue;
        const record = records.get(digest);
        const view = record && viewOf(record, nowMs);
        if (view?.state !== state) continue;
        if (found.length === limit) return { records: found, next: lastDigest(found) };
        found.push(view);
      }
      return { records: found };
    },

    async remove(id, token) {
      return apply(id.digest, "remove", { token }, clock());
    },

    async purge(limit) {
      const nowMs = clock();
      let purged = 0;
      for (const digest of records.keys()) {
        if (purged === limit) break;
        if (apply(digest, "purge", undefined, nowMs)) purged += 1;
      }
      return purged;
    },
  };
}

function lastDigest(views: readonly RecordView[]): string {
  return views.at(-1)?.id.digest ?? "";
}
