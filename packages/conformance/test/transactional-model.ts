import { setImmediate as turn } from "node:timers/promises";
import type {
  Claimed,
  ClaimRequest,
  Completion,
  Store,
  Transacted,
  TransactionalStore,
  TransactOptions,
} from "@idemkit/engine";
import { modelStore, type StoredRecord, transition } from "@idemkit/engine/model";
import type { TransactionalHarness } from "../src/index.ts";

/** A transaction. Its writes are its own until the commit. */
export interface Tx {
  readonly records: Map<string, StoredRecord>;
  rows: string[];
}

export const recordsOf = ({ records }: Pick<Tx, "records">): Store =>
  modelStore({ transition, records, clock: Date.now });

/** A database in memory, of records and of rows, whose writers come one after another. */
class Database implements Tx {
  readonly records = new Map<string, StoredRecord>();
  rows: string[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /** Runs tasks that write, each once the one before is over. */
  async exclusive<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(task);
    this.#last = mine.catch(() => undefined);
    return await mine;
  }

  begin(): Tx {
    return { records: new Map(this.records), rows: [...this.rows] };
  }

  async commit({ records, rows }: Tx): Promise<void> {
    await turn();
    this.commitRecords({ records });
    this.rows = rows;
  }

  commitRecords({ records }: Pick<Tx, "records">): void {
    this.records.clear();
    for (const [digest, record] of records) this.records.set(digest, record);
  }
}

/** The parts of `transact`, each of which a broken store may have otherwise. */
export interface Parts {
  /** Whether the work runs, by the result of its claim. */
  readonly isGranted: (answer: Transacted) => boolean;
  readonly claim: (db: Database, tx: Tx, request: ClaimRequest) => Promise<Transacted>;
  /** Ends a transaction whose work is over, and returns whether its outcome is recorded. */
  readonly end: (db: Database, tx: Tx, completion: Completion) => Promise<boolean>;
  /** Is called when the work throws, with the rows as they were before it. */
  readonly undo: (db: Database, tx: Tx, rows: string[], request: ClaimRequest) => Promise<void>;
  readonly failed: (
    error: unknown,
    answer: Claimed,
    request: ClaimRequest,
    options: TransactOptions,
  ) => Completion | undefined;
  readonly exclusive: (db: Database, task: () => Promise<Transacted>) => Promise<Transacted>;
  readonly bind: (db: Database, tx: Tx) => Store;
}

const sound: Parts = {
  isGranted: ({ outcome }) => outcome === "claimed",
  claim: async (_, tx, request) => {
    const [answer] = await recordsOf(tx).claim([request]);
    return answer as Transacted;
  },
  end: async (db, tx, completion) => {
    const [isCompleted = false] = await recordsOf(tx).complete([completion]);
    if (isCompleted) await db.commit(tx);
    return isCompleted;
  },
  undo: async (_, tx, rows) => {
    tx.rows = rows;
  },
  failed: (error, answer, _, { onError }) => onError?.(error, answer),
  exclusive: (db, task) => db.exclusive(task),
  bind: (_, tx) => recordsOf(tx),
};

function storeOf(db: Database, parts: Parts): TransactionalStore<Tx, false> {
  const store = recordsOf(db);
  const writing =
    <Given extends readonly unknown[], Answer>(act: (...given: Given) => Promise<Answer>) =>
    (...given: Given) =>
      db.exclusive(() => act(...given));
  return {
    ...store,
    claim: writing(store.claim),
    renew: writing(store.renew),
    complete: writing(store.complete),
    release: writing(store.release),
    transact: (request, work, options = {}) =>
      parts.exclusive(db, async () => {
        const tx = db.begin();
        const answer = await parts.claim(db, tx, request);
        if (!parts.isGranted(answer)) return answer;
        const rows = [...tx.rows];
        let completion: Completion;
        try {
          completion = await work(tx, answer as Claimed);
        } catch (error) {
          await parts.undo(db, tx, rows, request);
          const instead = parts.failed(error, answer as Claimed, request, options);
          if (instead === undefined) throw error;
          completion = instead;
        }
        if (await parts.end(db, tx, completion)) return answer;
        throw new Error("The outcome was refused.");
      }),
    bind: (tx) => ({ ...parts.bind(db, tx), isBound: true }),
  };
}

/** A store with transactions whose parts are sound, but for those given. */
export function transactionalHarness(broken: Partial<Parts> = {}): TransactionalHarness<never> {
  const db = new Database();
  const parts = { ...sound, ...broken };
  const store = storeOf(db, parts);
  const harness: TransactionalHarness<Tx> = {
    stores: [store, storeOf(db, parts)],
    async elapse(ms, digests) {
      for (const digest of digests) {
        const record = db.records.get(digest);
        if (record !== undefined)
          db.records.set(digest, { ...record, leaseEndsAt: record.leaseEndsAt - ms });
      }
    },
    write: async (tx, label) => {
      await turn();
      tx.rows.push(label);
    },
    count: async (label) => db.rows.filter((row) => row === label).length,
    transaction: (work) =>
      db.exclusive(async () => {
        const tx = db.begin();
        await work(tx, store.bind(tx));
        await db.commit(tx);
      }),
  };
  return harness as unknown as TransactionalHarness<never>;
}
