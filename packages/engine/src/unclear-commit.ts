/**
 * Nobody knows whether a transaction was committed: its answer was lost, and so were those to all
 * attempts to find out. The same request, sent again, tells.
 */
export class UnclearCommitError extends Error {
  override readonly name = "UnclearCommitError";
  readonly code = "COMMIT_UNCLEAR";

  constructor(cause: unknown) {
    super("It is not known whether the transaction was committed. Ask again with the same key.", {
      cause,
    });
  }
}
