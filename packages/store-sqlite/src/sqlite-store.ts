import { setImmediate as turn } from "node:timers/promises";
import type {
  BoundStore,
  Claim,
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  ListQuery,
  OpenState,
  RecordId,
  RecordPage,
  RecordView,
  Renewal,
  TransactionalStore,
  TransactOptions,
} from "@idemkit/engine";
import { type CheckOptions, transition, viewOf } from "@idemkit/engine/model";
import { type CheckReport, check } from "./check.ts";
import { handleOf, type SqliteClient, type SqliteHandle } from "./handle.ts";
import { type ClaimedRow, claimedOf, digestOf, type Row, recordOf } from "./rows.ts";
import { type Statements, statementsOf } from "./statements.ts";
import { OpenTransaction, Transactions, undoable, type Writes } from "./transactions.ts";

const LIST_STEP_ROWS = 2_000;
const MICROSECONDS_PER_MS = 1_000;

/** The records of one step of a list, and where the next one begins. */
interface ListStep {
  readonly found: readonly RecordView[];
  readonly next: Buffer | undefined;
}

/** What is prepared once, at the first call: a store touches nothing when it is made. */
interface Session {
  readonly statements: Statements;
  readonly transactions: Writes;
}

/**
 * A store in a SQLite database, through a handle that stays the user's. A transaction is worked in
 * through that same handle, or drizzle database: one handle is one connection.
 */
export interface SqliteStore<C extends SqliteClient = SqliteClient>
  extends TransactionalStore<C, true> {
  /**
   * Looks whether the database is fit for use: its schema, and what an acknowledged outcome
   * survives. Call it once at the start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a better-sqlite3 database, or a drizzle database on one, whose tables
 * {@link migrate} has made. It opens, sets and creates nothing. Every list is one transaction; a list of
 * replays takes no write lock.
 *
 * The handle may be shared with the application, as long as no transaction and no iteration over
 * rows stays open from one turn of the event loop to the next: calls wait a second for it to end.
 */
export function sqliteStore<C extends SqliteClient>(db: C): SqliteStore<C> {
  const handle = handleOf(db);
  return new HandleStore(db, handle, () => new Transactions(handle));
}

class HandleStore<C extends SqliteClient> implements SqliteStore<C> {
  readonly #client: C;
  readonly #db: SqliteHandle;
  readonly #transactions: () => Writes;
  #session: Session | undefined;

  constructor(client: C, db: SqliteHandle, transactions: () => Writes) {
    this.#client = client;
    this.#db = db;
    this.#transactions = transactions;
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    if (requests.length === 0) return [];
    const { statements, transactions } = await this.#open();
    const replays = await transactions.read(() => {
      const nowMs = statements.now();
      return requests.map((request) => replayOf(statements, request, nowMs));
    });
    if (replays.every((replay) => replay !== undefined)) return replays;
    return await transactions.write(() => {
      const nowMs = statements.now();
      return requests.map(
        (request, index) => replays[index] ?? claimOne(statements, request, nowMs),
      );
    });
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    return await this.#writeEach(renewals, (statements, renewal, now) => {
      const { id, owner, token, leaseMs = null, checkpoint } = renewal;
      const { revision = null, value = null } = checkpoint ?? {};
      const digest = digestOf(id);
      return statements.renew({ digest, owner, token, leaseMs, now, revision, checkpoint: value });
    });
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    return await this.#writeEach(completions, completeOne);
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await this.#writeEach(claims, (statements, { id, owner, token }, now) => {
      const claim = { digest: digestOf(id), owner, token };
      return statements.release(claim) || statements.isReleased({ ...claim, now });
    });
  }

  async read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]> {
    if (ids.length === 0) return [];
    return await this.#read((statements, nowMs) =>
      ids.map((id) => {
        const row = statements.read(digestOf(id));
        return transition(row && recordOf(row), "read", id, nowMs).answer;
      }),
    );
  }

  async list({ state, after = "", limit }: ListQuery): Promise<RecordPage> {
    if (!/^([0-9a-f]{32})?$/.test(after)) {
      throw new TypeError("after: expected the `next` of a page before, or nothing.");
    }
    const records: RecordView[] = [];
    let from: Buffer | undefined = Buffer.from(after, "hex");
    while (from !== undefined && records.length <= limit) {
      // One more than asked for tells whether there is a next page.
      const step: ListStep = await this.#listStep(state, from, limit + 1 - records.length);
      records.push(...step.found);
      from = step.next;
    }
    const page = records.slice(0, limit);
    const next = records.length > limit ? page.at(-1)?.id.digest : undefined;
    return { records: page, ...(next !== undefined && { next }) };
  }

  async remove(id: RecordId, token: number): Promise<boolean> {
    const digest = digestOf(id);
    return await this.#write((statements, now) => statements.remove({ digest, token, now }));
  }

  async purge(limit: number): Promise<number> {
    return await this.#write((statements, now) => statements.purge({ limit, now }));
  }

  async transact(
    request: ClaimRequest,
    work: (tx: C, claimed: Claimed) => Completion,
    { onError }: TransactOptions = {},
  ): Promise<ClaimOutcome> {
    const fail = (error: unknown) => {
      throw error;
    };
    return await this.#write((statements, nowMs) => {
      const answer = replayOf(statements, request, nowMs) ?? claimOne(statements, request, nowMs);
      if (answer.outcome !== "claimed") return answer;
      const run = () => checkedCompletion(work(this.#client, answer));
      const completion =
        onError === undefined
          ? run()
          : undoable(this.#db, run, (error) => onError(error, answer) ?? fail(error));
      // `INSERT OR ROLLBACK`, say, ends a transaction behind the back of whoever swallows its error.
      const isOpen = this.#db.inTransaction;
      if (isOpen && completeOne(statements, completion, statements.now())) return answer;
      throw new Error(
        "The work has ended its transaction, or has changed the record of its own claim.",
      );
    });
  }

  bind(tx: C): BoundStore {
    const handle = handleOf(tx);
    const records = new HandleStore(tx, handle, () => new OpenTransaction(handle));
    return Object.assign(records, { isBound: true } as const);
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    return await check(this.#db, this, options);
  }

  /** Calls made while a list waits for its turn gather behind it and share the next commit. */
  async #open(): Promise<Session> {
    await turn();
    this.#session ??= {
      statements: statementsOf(this.#db),
      transactions: this.#transactions(),
    };
    return this.#session;
  }

  async #write<T>(work: (statements: Statements, nowMs: number) => T): Promise<T> {
    const { statements, transactions } = await this.#open();
    return await transactions.write(() => work(statements, statements.now()));
  }

  async #writeEach<Entry>(
    entries: readonly Entry[],
    work: (statements: Statements, entry: Entry, nowMs: number) => boolean,
  ): Promise<readonly boolean[]> {
    if (entries.length === 0) return [];
    return await this.#write((statements, nowMs) =>
      entries.map((entry) => work(statements, entry, nowMs)),
    );
  }

  async #read<T>(work: (statements: Statements, nowMs: number) => T): Promise<T> {
    const { statements, transactions } = await this.#open();
    return await transactions.read(() => work(statements, statements.now()));
  }

  /** A turn of the event loop for each step: a large table must not stop live calls. */
  async #listStep(state: OpenState, after: Buffer, limit: number): Promise<ListStep> {
    const step = { after, scanned: LIST_STEP_ROWS };
    return await this.#read((statements, nowMs) => {
      const rows = statements.list({ ...step, state, limit, now: nowMs });
      const found = rows.map((row) => viewOf(recordOf(row), nowMs));
      return { found, next: statements.listStep(step) };
    });
  }
}

/** The outcome to replay, read without a lock. Anything else is decided under the write lock. */
function replayOf(
  statements: Statements,
  request: ClaimRequest,
  nowMs: number,
): ClaimOutcome | undefined {
  const row = statements.read(digestOf(request.id));
  if (row === undefined) return undefined;
  const answer = answerFrom(row, request, nowMs);
  return answer.outcome === "completed" ? answer : undefined;
}

/** The statements decide who gets the record; what the others are told is read afterwards. */
function claimOne(statements: Statements, request: ClaimRequest, nowMs: number): ClaimOutcome {
  const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint = null } = request;
  const { takeOver, takeOverAfterMs = 0 } = request;
  const digest = digestOf(id);
  const claim = {
    digest,
    scope: id.scope,
    key: id.key,
    owner,
    fingerprint,
    leaseMs,
    retentionMs,
    takeOver: takeOver ? 1 : 0,
    takeOverAfterMs,
    checkpoint,
    token: nowMs * MICROSECONDS_PER_MS,
    now: nowMs,
  };
  // What an insert has written is known: asking it to be returned would double its cost.
  if (statements.claimAbsent(claim)) return answerFrom(undefined, request, nowMs);
  const granted: ClaimedRow | undefined =
    statements.claimAgain({ digest, owner, leaseMs, now: nowMs }) ?? statements.claimPresent(claim);
  if (granted !== undefined) return claimedOf(granted);
  const answer = answerFrom(statements.read(digest), request, nowMs);
  if (answer.outcome !== "claimed") return answer;
  throw new Error("The record could be claimed and was not: its row breaks the table's rules.");
}

function completeOne(statements: Statements, completion: Completion, now: number): boolean {
  const { id, owner, token, status, body, note = null, retentionMs = 0 } = completion;
  const ifLapsed = Number(completion.ifLapsed ?? false);
  const outcome = { digest: digestOf(id), owner, token, status, body, now };
  return (
    statements.complete({ note, retentionMs, ifLapsed, ...outcome }) ||
    statements.isCompleted(outcome)
  );
}

/** Types forbid a promise; without them its work would go on after the transaction's end. */
function checkedCompletion(completion: Completion): Completion {
  if (!("then" in completion)) return completion;
  (completion as unknown as Promise<unknown>).then(undefined, () => undefined);
  throw new TypeError(
    "work: expected a value, got a promise. A transaction of SQLite ends in the turn of the event loop " +
      "that began it: write without await.",
  );
}

/** What the contract says of a row, or of none. It grants nothing: only the statements do. */
function answerFrom(row: Row | undefined, request: ClaimRequest, nowMs: number): ClaimOutcome {
  return transition(row && recordOf(row), "claim", request, nowMs).answer;
}
