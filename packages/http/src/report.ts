/** Tells the application of what failed behind an answer. */
export type Report = (error: unknown) => void;

/** The application's own reporting may fail: no answer depends on it. */
export function guarded(report: Report): Report {
  return (error) => {
    try {
      const isError = error instanceof Error;
      report(isError ? error : new Error("What was thrown is no error.", { cause: error }));
    } catch {
      // There is nobody left to be told.
    }
  };
}
