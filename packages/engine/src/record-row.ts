import type { StoredRecord } from "./record.ts";
import type { RecordId } from "./store.ts";

/** A record as a statement answered it, with the server's time then. */
export interface FoundRecord {
  readonly nowMs: number;
  /** Whether this very statement has granted it. */
  readonly isGranted: boolean;
  readonly record: StoredRecord;
}

/**
 * Reads a record from the row of an SQL store: in the first column what has no foreign text in it,
 * separated by blanks, and then the texts. One column is a good deal faster to send and to take apart
 * than twelve.
 *
 * @param row head, fingerprint, owner, checkpoint, body and, where they were asked for, note, scope, key.
 *   The head has the time, the digest, status, token, attempt, whether it was taken over, the end of the
 *   lease, the expiry, when it was created, when completed and the checkpoint's revision (-1 for none),
 *   and whether the statement has granted it
 */
export function recordInRow(row: readonly (string | null)[]): FoundRecord {
  const [head, fingerprint, owner, checkpoint, body, note, scope, key] = row;
  const [now, digest = "", status, token, attempt, takenOver, ...others] = (head ?? "").split(" ");
  const [leaseEndsAt, expiresAt, createdAt, completedAt, revision, granted] = others;
  return {
    nowMs: Number(now),
    isGranted: isTrue(granted),
    record: {
      id: { digest: digest.replaceAll("-", ""), scope: scope ?? "", key: key ?? "" },
      status: status as StoredRecord["status"],
      fingerprint: fingerprint ?? "",
      owner: owner ?? "",
      token: Number(token),
      attempt: Number(attempt),
      takenOver: isTrue(takenOver),
      leaseEndsAt: Number(leaseEndsAt),
      expiresAt: Number(expiresAt),
      createdAt: Number(createdAt),
      completedAt: completedAt === "-1" ? undefined : Number(completedAt),
      checkpoint:
        checkpoint == null ? undefined : { revision: Number(revision), value: checkpoint },
      body: body ?? undefined,
      note: note ?? undefined,
    },
  };
}

/**
 * The records of a statement's rows, each by its digest: no row is taken for the result of an entry because of its
 * place.
 *
 * @param asked the records that the statement was to look at
 * @throws Error if a row is of another record
 */
export function recordsByDigest(
  rows: readonly (readonly (string | null)[])[],
  asked: readonly RecordId[],
): ReadonlyMap<string, FoundRecord> {
  const digests = new Set(asked.map(({ digest }) => digest));
  const found = new Map<string, FoundRecord>();
  for (const row of rows) {
    const read = recordInRow(row);
    expectAsked(digests.has(read.record.id.digest));
    found.set(read.record.id.digest, read);
  }
  return found;
}

/**
 * Refuses the row of a record that the statement did not ask for. A driver or a proxy that has confused two
 * connections, or two statements on one, returns such rows, and the next one could be another caller's outcome.
 *
 * @throws Error unless it was asked for
 */
export function expectAsked(isAsked: boolean): void {
  if (isAsked) return;
  throw new Error(
    "The database returned a row of another record than the statement asked for, so none of its rows was used. " +
      "Look for a driver, proxy or pooler that gives one statement the result of another.",
  );
}

/** Postgres writes truth as a letter, MySQL as a number. */
function isTrue(text: string | undefined): boolean {
  return text === "t" || text === "1";
}
