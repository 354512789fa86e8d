/** A row as the server sends it: texts in the order of the statement's columns. */
export type TextRow = readonly (string | null)[];

/** What a statement that writes tells. */
export interface Written {
  /** Rows that met its conditions; where the client was set up so, only those that changed. */
  readonly count: number;
  /** What the statement has passed to LAST_INSERT_ID, or 0. */
  readonly said: number;
}

/** What runs statements, in one round trip each. They throw the driver's own errors. */
export interface Queries {
  read(text: string, values?: readonly (string | null)[]): Promise<readonly TextRow[]>;
  /** Ends the statement where it takes long. */
  write(text: string, values?: readonly (string | null)[]): Promise<Written>;
  /** Runs a statement of the schema or the session, however long it takes. */
  define(text: string): Promise<void>;
}

/** All that the store needs of a driver. */
export interface Database extends Queries {
  /** Runs the work on one connection. */
  session<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  /**
   * Runs the work in one transaction at READ COMMITTED on one connection, and rolls back where it
   * rejects. No statement in it waits long for a row, and the server ends it once it has been idle for
   * too long.
   *
   * @param work gets the transaction as the driver's users know it as well
   */
  transaction<T>(idleMs: number, work: (queries: Queries, tx: unknown) => Promise<T>): Promise<T>;
  /**
   * What runs on a transaction that a user has begun, and ends nothing.
   *
   * @throws TypeError where it is none of this driver's
   */
  within(tx: unknown): Queries;
}
