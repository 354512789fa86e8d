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
  /** Runs a statement of the schema, however long it takes. */
  define(text: string): Promise<void>;
}

/** All that the store needs of a driver. */
export interface Database extends Queries {
  /** Runs the work on one connection. */
  session<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
}
