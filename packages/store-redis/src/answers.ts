import { type FoundRecord, recordInRow } from "@idemkit/engine/model";

type Row = readonly (string | null)[];

/** The result of a write. */
export interface Verdict {
  readonly isDone: boolean;
  /** The history whose replicas have to confirm it; missing if none have to. */
  readonly history: string | undefined;
}

/** How replicas are concerned with the record that a claim found or was granted. */
export interface ClaimProof {
  /** The history whose replicas have to confirm the record; missing if none have to. */
  readonly history: string | undefined;
  /** Whether the claim's token was issued by this very call, and not by an earlier one of its owner. */
  readonly isNew: boolean;
}

const DONE: Verdict = { isDone: true, history: undefined };
const REFUSED: Verdict = { isDone: false, history: undefined };

/**
 * Reads a verdict of the scripts.
 *
 * @throws Error if it belongs to another call
 */
export function readVerdict(
  answer: unknown,
  operation: string,
  digest: string,
  token: number,
): Verdict {
  const done = `${operation} ${digest} ${token} 1`;
  if (answer === done) return DONE;
  if (answer === `${done.slice(0, -1)}0`) return REFUSED;
  if (typeof answer !== "string" || !answer.startsWith(`${done} `)) {
    throw outOfStep(operation, digest);
  }
  return { isDone: true, history: answer.slice(done.length + 1) };
}

/** Reads the columns that a claim adds to its row for a store with replicas. */
export function readProof(answer: unknown): ClaimProof {
  const [history, isNew] = (answer as Row).slice(5);
  return { history: history ?? undefined, isNew: Number(isNew) === 1 };
}

/** @throws Error if the record is another one */
export function readClaim(answer: unknown, digest: string): FoundRecord {
  return readRow(answer, "claim", digest);
}

/** @throws Error if the record is another one */
export function readRecord(answer: unknown, digest: string): FoundRecord | undefined {
  return answer === digest ? undefined : readRow(answer, "read", digest);
}

function readRow(answer: unknown, operation: string, digest: string): FoundRecord {
  if (!Array.isArray(answer)) throw outOfStep(operation, digest);
  const found = recordInRow(answer as Row);
  if (found.record.id.digest !== digest) throw outOfStep(operation, digest);
  return found;
}

function outOfStep(operation: string, digest: string): Error {
  return new Error(
    `The client returned the result of another command than the ${operation} of ${digest}. Nothing of it ` +
      "was used. A proxy, a wrapper of the client or its connection mixes up results: remove it, or " +
      "connect again.",
  );
}
