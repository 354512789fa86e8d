/** A row as the server sends it: texts in the order of the statement's columns. */
export type TextRow = readonly (string | null)[];

/** What runs statements: a connection, or whatever has some. */
export interface Queries {
  /**
   * Runs one statement, in one round trip.
   *
   * @param name what the server may keep the statement's plan under; without it nothing is kept
   * @throws the driver's own errors
   */
  run(
    text: string,
    parameters: readonly (string | null)[],
    name?: string,
  ): Promise<readonly TextRow[]>;
}

/** Runs work on a savepoint of a transaction: where it rejects, what it has written is undone. */
export type Attempt = <T>(work: (tx: unknown) => Promise<T>) => Promise<T>;

/** All that the store needs of a driver. */
export interface Database extends Queries {
  /** Runs the work on one connection, outside of a transaction. The work must end a transaction that it begins. */
  session<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  /**
   * Runs the work in one transaction on one connection, and rolls back where it rejects.
   *
   * @param work gets the transaction as the driver's users know it as well
   * @param how.isolation where it must not be the connection's own
   * @param how.settings statements that come first, together with the beginning where that is possible; what
   *   they answer is of no interest
   */
  transaction<T>(
    work: (queries: Queries, tx: unknown, attempt: Attempt) => Promise<T>,
    how: { readonly isolation?: "read committed"; readonly settings?: string },
  ): Promise<T>;
  /**
   * What runs on a transaction that a user has begun.
   *
   * @throws TypeError where it is none of this driver's
   */
  within(tx: unknown): Queries;
}
