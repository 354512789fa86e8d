import { setTimeout as sleep } from "node:timers/promises";
import type {
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  Store,
  Transacted,
  TransactOptions,
} from "./store.ts";
import { UnclearCommitError } from "./unclear-commit.ts";

/** What a database with transactions on a connection of its own has to offer for `transact`. */
export interface TransactingDatabase<Tx> {
  /**
   * Begins, works and commits on one connection; rolls back where the work rejects. No statement in it
   * may wait long for a row, and the server ends it where it can, once it has been idle for too long.
   */
  transaction<T>(
    idleMs: number,
    work: (open: OpenTransaction<Tx>, tx: Tx) => Promise<T>,
  ): Promise<T>;
  /** A deadlock or a serialization failure: all is rolled back, and beginning again may help. */
  isRepeatable(error: unknown): boolean;
  /** The server has answered, so that a commit that fails with it has not happened. */
  isAnswer(error: unknown): boolean;
  /** Somebody else holds a row for longer than was waited. */
  isBlocked(error: unknown): boolean;
}

/** A transaction that has been begun. */
export interface OpenTransaction<Tx> {
  /** A completion outside of the claim's transaction, which the work may have lost, MUST be refused. */
  readonly records: Pick<Store, "claim" | "complete">;
  /** Runs work on a savepoint: where it rejects, what it has written is undone. */
  attempt<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
}

/** A call of `transact`. */
interface Call<Tx> {
  readonly request: ClaimRequest;
  readonly work: (tx: Tx, claimed: Claimed) => Completion | Promise<Completion>;
  readonly onError: TransactOptions["onError"];
}

/** What one round has found out. */
interface Round {
  /** Set once the commit was sent: a failure without an answer of the server's is unclear from then on. */
  isCommitting: boolean;
  /** Whether an earlier round may have been committed. Cleared once a claim was granted or refused. */
  isInDoubt: boolean;
  refusal?: Transacted;
  failure?: { readonly error: unknown };
}

const ROUNDS_MAX = 8;
const FIRST_PAUSE_MS = 10;
const PAUSE_GROWTH = 2;

/**
 * `TransactionalStore.transact` on a database whose transactions have connections of their own. It goes
 * on until it is clear what came of it: a commit whose answer was lost is settled by asking for the
 * record again as the same owner. Where that is answered as completed, it was committed, and where it is
 * granted anew, it was not.
 *
 * @param pause lets about so many milliseconds pass between rounds; a simulation has its own time
 */
export async function transactInRounds<Tx>(
  database: TransactingDatabase<Tx>,
  request: ClaimRequest,
  work: (tx: Tx, claimed: Claimed) => Completion | Promise<Completion>,
  { onError }: TransactOptions = {},
  pause: (delayMs: number) => Promise<unknown> = jittered,
): Promise<Transacted> {
  let isInDoubt = false;
  let pauseMs = FIRST_PAUSE_MS;
  for (let tried = 1; ; tried += 1) {
    const round: Round = { isCommitting: false, isInDoubt };
    let failure: unknown;
    try {
      const answer = await transactOnce(database, { request, work, onError }, round);
      // Somebody holds the record: it may be the very transaction that is in doubt.
      if (answer.outcome !== "blocked" || !round.isInDoubt) return answer;
      failure = new Error("Somebody else holds the record's row.");
    } catch (error) {
      failure = error;
      const isUnclear = round.isCommitting && !database.isAnswer(error);
      if (!(round.isInDoubt || isUnclear || database.isRepeatable(error))) throw error;
      isInDoubt = round.isInDoubt || isUnclear;
    }
    if (tried === ROUNDS_MAX) throw isInDoubt ? new UnclearCommitError(failure) : failure;
    await pause(pauseMs);
    pauseMs *= PAUSE_GROWTH;
  }
}

function jittered(delayMs: number): Promise<void> {
  return sleep(delayMs * (0.5 + Math.random()));
}

async function transactOnce<Tx>(
  database: TransactingDatabase<Tx>,
  call: Call<Tx>,
  round: Round,
): Promise<Transacted> {
  try {
    return await database.transaction(call.request.leaseMs, async (open, tx) => {
      try {
        const answer = await workIn(database, open, tx, call, round);
        round.isCommitting = answer.outcome === "claimed";
        return answer;
      } catch (error) {
        round.failure = { error };
        throw error;
      }
    });
  } catch (error) {
    if (round.refusal !== undefined) return round.refusal;
    // What a driver throws after that is about the end of a transaction that has failed.
    throw round.failure === undefined ? error : round.failure.error;
  }
}

async function workIn<Tx>(
  database: TransactingDatabase<Tx>,
  open: OpenTransaction<Tx>,
  tx: Tx,
  { request, work, onError }: Call<Tx>,
  round: Round,
): Promise<Transacted> {
  const answer = await claimIn(database, open, request, round);
  round.isInDoubt = false;
  if (answer.outcome !== "claimed") {
    round.refusal = answer;
    return answer;
  }
  const completion =
    onError === undefined
      ? await work(tx, answer)
      : await undoable(
          database,
          open,
          async (inner) => work(inner, answer),
          (error) => onError(error, answer),
        );
  const [isCompleted] = await open.records.complete([completion]);
  if (isCompleted) return answer;
  throw new Error(
    "The work has ended its transaction, or has changed the record of its own claim.",
  );
}

/** A record that somebody else holds ends the transaction, which has nothing in it. */
async function claimIn<Tx>(
  { isBlocked }: TransactingDatabase<Tx>,
  { records }: OpenTransaction<Tx>,
  request: ClaimRequest,
  round: Round,
): Promise<ClaimOutcome> {
  try {
    const [answer] = await records.claim([request]);
    return answer as ClaimOutcome;
  } catch (error) {
    if (isBlocked(error)) round.refusal = { outcome: "blocked" };
    throw error;
  }
}

/** Runs the work; where it throws and that is answered with an outcome, that is its completion. */
async function undoable<Tx>(
  { isRepeatable }: TransactingDatabase<Tx>,
  open: OpenTransaction<Tx>,
  work: (tx: Tx) => Promise<Completion>,
  onError: (error: unknown) => Completion | undefined,
): Promise<Completion> {
  let thrown: { readonly error: unknown } | undefined;
  try {
    return await open.attempt(async (inner) => {
      try {
        return await work(inner);
      } catch (error) {
        thrown = { error };
        throw error;
      }
    });
  } catch (failure) {
    // What the driver throws instead is about the savepoint, and ends the transaction.
    const error = thrown === undefined ? failure : thrown.error;
    const instead = isRepeatable(error) || thrown === undefined ? undefined : onError(error);
    if (instead === undefined) throw error;
    return instead;
  }
}
