import { setImmediate as turn } from "node:timers/promises";
import type { ClaimOutcome, ClaimRequest, OpenState, RecordView, Store } from "@idemkit/engine";
import { transition, viewOf } from "@idemkit/engine/model";
import { type CheckOptions, type CheckReport, check } from "./check.ts";
import { checkHandle, type SqliteHandle } from "./handle.ts";
import { type ClaimedRow, claimedOf, digestOf, type Row, recordOf } from "./rows.ts";
import { type Statements, statementsOf } from "./statements.ts";
import { Transactions } from "./transactions.ts";

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
  readonly transactions: Transactions;
}

/** A store in a SQLite database, through a handle that stays the user's. */
export interface SqliteStore extends Store {
  /**
   * Looks whether the database is fit for use: its schema, and what an acknowledged outcome
   * survives. Call it once at the start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a better-sqlite3 database whose tables {@link migrate} has made. It opens, sets
 * and creates nothing. Every list is one transaction; a list of replays takes no write lock.
 *
 * The handle may be shared with the application, as long as no transaction and no iteration over
 * rows stays open from one turn of the event loop to the next: calls wait a second for it to end.
 */
export function sqliteStore(db: SqliteHandle): SqliteStore {
  checkHandle(db);
  let opened: Session | undefined;

  /** Calls made while a list waits for its turn gather behind it and share the next commit. */
  async function session(): Promise<Session> {
    await turn();
    opened ??= { statements: statementsOf(db), transactions: new Transactions(db) };
    return opened;
  }

  async function write<T>(work: (statements: Statements, nowMs: number) => T): Promise<T> {
    const { statements, transactions } = await session();
    return await transactions.write(() => work(statements, statements.now()));
  }

  async function read<T>(work: (statements: Statements, nowMs: number) => T): Promise<T> {
    const { statements, transactions } = await session();
    return await transactions.read(() => work(statements, statements.now()));
  }

  /** A turn of the event loop for each step: a large table must not stop live calls. */
  async function listStep(state: OpenState, after: Buffer, limit: number): Promise<ListStep> {
    const step = { after, scanned: LIST_STEP_ROWS };
    return await read((statements, nowMs) => {
      const rows = statements.list({ ...step, state, limit, now: nowMs });
      const found = rows.map((row) => viewOf(recordOf(row), nowMs));
      return { found, next: statements.listStep(step) };
    });
  }

  return {
    async claim(requests) {
      if (requests.length === 0) return [];
      const { statements, transactions } = await session();
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
    },

    async renew(renewals) {
      if (renewals.length === 0) return [];
      return await write((statements, nowMs) =>
        renewals.map(({ id, owner, leaseMs, checkpoint }) => {
          const progress = {
            revision: checkpoint?.revision ?? null,
            checkpoint: checkpoint?.value ?? null,
          };
          return statements.renew({
            digest: digestOf(id),
            owner,
            leaseMs,
            now: nowMs,
            ...progress,
          });
        }),
      );
    },

    async complete(completions) {
      if (completions.length === 0) return [];
      return await write((statements, nowMs) =>
        completions.map(({ id, owner, status, body, note = null, retentionMs = 0 }) => {
          const outcome = { digest: digestOf(id), owner, status, body, now: nowMs };
          return (
            statements.complete({ ...outcome, note, retentionMs }) ||
            statements.isCompleted(outcome)
          );
        }),
      );
    },

    async release(claims) {
      if (claims.length === 0) return [];
      return await write((statements, nowMs) =>
        claims.map(({ id, owner }) => {
          const claim = { digest: digestOf(id), owner };
          return statements.release(claim) || statements.isReleased({ ...claim, now: nowMs });
        }),
      );
    },

    async read(ids) {
      if (ids.length === 0) return [];
      return await read((statements, nowMs) =>
        ids.map((id) => {
          const row = statements.read(digestOf(id));
          return transition(row && recordOf(row), "read", id, nowMs).answer;
        }),
      );
    },

    async list({ state, after = "", limit }) {
      if (!/^([0-9a-f]{32})?$/.test(after)) {
        throw new TypeError("after: expected the `next` of a page before, or nothing.");
      }
      const records: RecordView[] = [];
      let from: Buffer | undefined = Buffer.from(after, "hex");
      while (from !== undefined && records.length <= limit) {
        // One more than asked for tells whether there is a next page.
        const step: ListStep = await listStep(state, from, limit + 1 - records.length);
        records.push(...step.found);
        from = step.next;
      }
      const page = records.slice(0, limit);
      const next = records.length > limit ? page.at(-1)?.id.digest : undefined;
      return { records: page, ...(next !== undefined && { next }) };
    },

    async remove(id, token) {
      return await write((statements, nowMs) =>
        statements.remove({ digest: digestOf(id), token, now: nowMs }),
      );
    },

    async purge(limit) {
      return await write((statements, nowMs) => statements.purge({ limit, now: nowMs }));
    },

    async check(options) {
      return check(db, options);
    },
  };
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
  const { id, owner, fingerprint, leaseMs, retentionMs, takeOver, checkpoint = null } = request;
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

/** What the contract says of a row, or of none. It grants nothing: only the statements do. */
function answerFrom(row: Row | undefined, request: ClaimRequest, nowMs: number): ClaimOutcome {
  return transition(row && recordOf(row), "claim", request, nowMs).answer;
}
