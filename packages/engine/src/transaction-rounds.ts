import { setTimeout as sleep } from "node:timers/promises";
import type { Transacted } from "./store.ts";
import { UnclearCommitError } from "./unclear-commit.ts";

/** What one round tells of itself, for the case that it fails. */
export interface RoundOfTransaction {
  /** Set once the commit was sent: a failure without an answer of the server's is unclear from then on. */
  isCommitting: boolean;
  /** Whether an earlier round may have been committed. Cleared once a claim was granted or refused. */
  isInDoubt: boolean;
}

/** What a database says about an error. */
export interface ErrorsOfTransaction {
  /** A deadlock or a serialization failure: all is rolled back, and beginning again may help. */
  isRepeatable(error: unknown): boolean;
  /** The server has answered, so that a commit that fails with it has not happened. */
  isAnswer(error: unknown): boolean;
}

const ROUNDS_MAX = 8;
const FIRST_PAUSE_MS = 10;
const PAUSE_GROWTH = 2;

/**
 * Runs a transaction that claims a record until it is clear what came of it. A commit whose answer was
 * lost is settled by asking for the record again as the same owner: where that is answered as completed,
 * it was committed, and where it is granted anew, it was not.
 *
 * @throws whatever a round throws, once nothing can have been committed; UnclearCommitError
 */
export async function inRounds(
  attempt: (round: RoundOfTransaction) => Promise<Transacted>,
  { isRepeatable, isAnswer }: ErrorsOfTransaction,
): Promise<Transacted> {
  let isInDoubt = false;
  let pauseMs = FIRST_PAUSE_MS;
  for (let tried = 1; ; tried += 1) {
    const round: RoundOfTransaction = { isCommitting: false, isInDoubt };
    let failure: unknown;
    try {
      const answer = await attempt(round);
      // Somebody holds the record: it may be the very transaction that is in doubt.
      if (answer.outcome !== "blocked" || !round.isInDoubt) return answer;
      failure = new Error("Somebody else holds the record's row.");
    } catch (error) {
      failure = error;
      const isUnclear = round.isCommitting && !isAnswer(error);
      if (!(round.isInDoubt || isUnclear || isRepeatable(error))) throw error;
      isInDoubt = round.isInDoubt || isUnclear;
    }
    if (tried === ROUNDS_MAX) throw isInDoubt ? new UnclearCommitError(failure) : failure;
    await sleep(pauseMs * (0.5 + Math.random()));
    pauseMs *= PAUSE_GROWTH;
  }
}
