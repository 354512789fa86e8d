/**
 * The Store contract: at most one record per id, and eight operations on it.
 *
 * These types are the whole of what the engine asks of a store. The comments are normative: each
 * rule is a clause of `@idemkit/conformance`, and `docs/store-contract.md` lists them. MUST, MUST NOT
 * and MAY are meant as in RFC 2119.
 *
 * Three rules hold for every operation:
 * - Time is the store's own clock. Durations come in as relative milliseconds, and no caller's
 *   clock is ever compared with a stored one.
 * - I/O trouble rejects with the driver's own error. An answer of `false` never means trouble.
 * - A rejected list MAY have been applied in part, so every operation MUST be safe to repeat.
 */
export interface Store {
  /** Claims each record, or says why it cannot be claimed. Of any number of rivals one wins. */
  claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]>;
  /** Moves the end of each lease to now + leaseMs, and keeps progress. True iff this claim holds the record. */
  renew(renewals: readonly Renewal[]): Promise<readonly boolean[]>;
  /** Writes each outcome. True iff afterwards the outcome stored by this claim is this one. */
  complete(completions: readonly Completion[]): Promise<readonly boolean[]>;
  /** Gives each claim back. True iff it held an open record, or had been released already. */
  release(claims: readonly Claim[]): Promise<readonly boolean[]>;
  /** Reads each record and changes nothing. Absent and expired records are `undefined`. */
  read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]>;
  /** Pages through the open records, for operators. It MAY scan. */
  list(query: ListQuery): Promise<RecordPage>;
  /** Releases the record that has this token in its owner's name, without body or checkpoint. */
  remove(id: RecordId, token: number): Promise<boolean>;
  /** Removes at most `limit` expired records and answers how many. */
  purge(limit: number): Promise<number>;
}

/** What work answers: at once where a driver knows no promises, at once or later elsewhere. */
export type NowOrLater<T, IsSync extends boolean> = IsSync extends true ? T : T | Promise<T>;

/**
 * A store whose records live in a database with transactions, so that an outcome can be recorded in the
 * same commit as what it is the outcome of.
 *
 * `Tx` is what the driver's own users work with inside a transaction. With `IsSync` a transaction has to
 * end in the turn of the event loop that began it, and work must not answer a promise.
 */
export interface TransactionalStore<Tx, IsSync extends boolean = boolean> extends Store {
  /** Known to types alone. */
  readonly isSync?: IsSync;
  /**
   * Begins a transaction, claims the record in it, works, completes the claim and commits. Rules:
   *
   * - The answer is `claimed` iff the transaction with the completion was committed by this call.
   * - Any other answer means that nothing was written: the record was not to be had, and what work may
   *   have done in an earlier round was rolled back. `completed` with the request's own owner is the
   *   exception: a commit of this request, whose answer was lost, has happened.
   * - It holds a record's row at most as long as the work takes, and waits for one that somebody else
   *   holds for a bounded time: then it answers `blocked`. The work's own statements wait no longer.
   * - Where work throws, or its promise rejects, all is rolled back and the same error comes out, unless
   *   `onError` makes an outcome of it.
   * - After a deadlock, a serialization failure or a commit whose answer was lost it begins again, a
   *   bounded number of times: work MAY run more than once, but only one run of it is ever committed.
   * - A server that can ends a transaction that has been idle for longer than `leaseMs`.
   *
   * @throws what work throws, and the driver's own errors: then nothing was committed;
   *   UnclearCommitError where that could not be found out
   */
  transact(
    request: ClaimRequest,
    work: (tx: Tx, claimed: Claimed) => NowOrLater<Completion, IsSync>,
    options?: TransactOptions,
  ): Promise<Transacted>;
  /**
   * A store whose operations are part of a transaction that its user has begun, and of its commit. It
   * sets no time-outs and repeats nothing: that is up to whoever has begun it.
   */
  bind(tx: Tx): BoundStore;
}

/**
 * A store inside somebody's transaction. Once one of its operations has failed, it MUST refuse all that
 * come: where the failure has ended the transaction, they would be on their own.
 */
export interface BoundStore extends Store {
  readonly isBound: true;
}

export interface TransactOptions {
  /**
   * Asked what to record where work throws: its completion is committed after all that work has written
   * was undone. Nothing is recorded where it answers nothing, and of errors after which the work is
   * repeated it does not hear.
   */
  readonly onError?: (error: unknown, claimed: Claimed) => Completion | undefined;
}

/** `blocked`: somebody else holds the record's row, in a transaction that goes on. */
export type Transacted = ClaimOutcome | { readonly outcome: "blocked" };

/** What identifies a record. Only `digest` is ever compared; the labels are for people. */
export interface RecordId {
  /** 32 lower-case hex digits, computed by the engine from scope and key. */
  readonly digest: string;
  /** The joined scope, at most 1,024 bytes of UTF-8. A label: kept, never compared. */
  readonly scope: string;
  /** The key, 1 to 255 bytes of UTF-8. A label: kept, never compared. */
  readonly key: string;
}

/**
 * One attempt's hold on a record. Every write of a claim is fenced by its owner and its token: by the
 * owner, as a number can come round again, and by the token, as a delayed duplicate of a claim can
 * make its owner hold the record once more, under which nothing of the earlier hold may pass.
 */
export interface Claim {
  readonly id: RecordId;
  readonly owner: string;
  /** As the claim was granted. */
  readonly token: number;
}

export interface ClaimRequest {
  readonly id: RecordId;
  /** 128 random bits in hex, minted by the engine before the first send. */
  readonly owner: string;
  /** What the payload was, for comparison by equality. */
  readonly fingerprint: string;
  readonly leaseMs: number;
  /** How long the record lives once its outcome is known, counted from this claim. */
  readonly retentionMs: number;
  /** Whether a lapsed claim of another owner may be taken over. */
  readonly takeOver: boolean;
  /**
   * With `takeOver`: a lapsed claim may be taken over only once its lease has been over for at least
   * this many milliseconds, by the store's clock. Until then it stays `lapsed`. Default: 0.
   */
  readonly takeOverAfterMs?: number;
  /** Progress to start with, at revision 0. */
  readonly checkpoint?: string;
}

/** Progress of a claim. A higher revision replaces a lower one, never the other way round. */
export interface Checkpoint {
  /** A safe integer, 0 or more. */
  readonly revision: number;
  /** An opaque well-formed string without U+0000. */
  readonly value: string;
}

export interface Renewal extends Claim {
  /** 0 lets the claim lapse at once. Missing: the end of the lease stays as it is. */
  readonly leaseMs?: number;
  /** Replaces the stored checkpoint iff its revision is greater. */
  readonly checkpoint?: Checkpoint;
}

export type Status = "succeeded" | "failed" | "unknown";

export interface Completion extends Claim {
  /** `unknown` records an open outcome: its owner, or an operator in its name, may still decide. */
  readonly status: Status;
  /** An opaque well-formed string without U+0000. 4 MiB MUST pass, and so MUST the empty string. */
  readonly body: string;
  /**
   * How long the outcome is to live from now on. Where less than nine tenths of it are left by the
   * store's clock, the expiry moves to now + retentionMs; otherwise it stays as the claim set it,
   * which saves an index entry. It never moves back.
   */
  readonly retentionMs?: number;
  /** An opaque well-formed string without U+0000: who decided, and why. Replaces an older note. */
  readonly note?: string;
  /**
   * Refuses while the lease runs: what an operator decides about lapsed work must not overrule an
   * owner that has renewed meanwhile. Default: false.
   */
  readonly ifLapsed?: boolean;
}

/**
 * - `claimed`: the record is this owner's. The same owner asking again gets the same answer.
 * - `in-progress`: somebody else works on it, or it was released in a way that bars this request.
 * - `lapsed`: somebody else's lease is over, its outcome open, and this request may not take over.
 * - `completed`: there is an outcome, which may be `unknown`. Nothing was written.
 */
export type ClaimOutcome = Claimed | InProgress | Lapsed | Completed;

export interface Claimed {
  readonly outcome: "claimed";
  /**
   * The fencing number: a safe integer, greater than every token issued before for this id, being
   * `max(previous + 1, clock in microseconds)`.
   */
  readonly token: number;
  /** 1 for a new record, one more for each take-over and each claim after a release. */
  readonly attempt: number;
  readonly takenOver: boolean;
  readonly checkpoint?: Checkpoint;
  /** When this life of the record began: kept by a take-over, new after a release. */
  readonly createdAt: number;
}

export interface InProgress {
  readonly outcome: "in-progress";
  readonly fingerprint: string;
  readonly attempt: number;
  /** 0 where the record was released and this request may not have it. */
  readonly leaseRemainingMs: number;
}

export interface Lapsed {
  readonly outcome: "lapsed";
  readonly fingerprint: string;
  readonly attempt: number;
  readonly token: number;
  readonly checkpoint?: Checkpoint;
}

export interface Completed {
  readonly outcome: "completed";
  readonly status: Status;
  readonly fingerprint: string;
  readonly body: string;
  readonly owner: string;
  readonly token: number;
  readonly attempt: number;
  readonly createdAt: number;
  readonly completedAt: number;
  /** When the record expires, unless its status is `unknown`: such records never do. */
  readonly expiresAt: number;
  /** Milliseconds since completion, on the store's clock. */
  readonly ageMs: number;
}

export type RecordState = "in-progress" | "lapsed" | "unknown" | "completed" | "released";

/** The states in which an outcome is open. Such records never expire. */
export type OpenState = Extract<RecordState, "in-progress" | "lapsed" | "unknown">;

/** A record as it is now. Times are epoch milliseconds on the store's clock. */
export interface RecordView {
  readonly id: RecordId;
  readonly state: RecordState;
  readonly fingerprint: string;
  /** Who claimed it last. */
  readonly owner: string;
  readonly token: number;
  readonly attempt: number;
  /** While in progress more than 0; once lapsed 0 or less, by how long ago that was. */
  readonly leaseRemainingMs?: number;
  readonly checkpoint?: Checkpoint;
  readonly status?: Status;
  readonly body?: string;
  readonly note?: string;
  readonly createdAt: number;
  readonly completedAt?: number;
  /** Only where the record expires: completed (succeeded or failed) and released. */
  readonly expiresAt?: number;
}

export interface ListQuery {
  readonly state: OpenState;
  /** The `next` of the page before. */
  readonly after?: string;
  /** 1 to 1,000. */
  readonly limit: number;
}

export interface RecordPage {
  readonly records: readonly RecordView[];
  /** Missing on the last page. */
  readonly next?: string;
}
