import type { Completion } from "@idemkit/engine";
import type { Grant } from "./grant.ts";
import type { Expect } from "./invariants.ts";

/** After an abort the lease is left to run out, unless the function decides otherwise. */
export function checkGivenUp({ run }: Grant, invariant: "F2" | "F4", expect: Expect): void {
  expect(run?.isCut !== true, invariant, "a claim was given up after an abort, undecided");
}

/** A final outcome comes from a function, a finding or an operator. */
export function checkFinal(holder: Grant, { note, status }: Completion, expect: Expect): void {
  // The front is used without an engine as well, where functions are not seen.
  if (note !== undefined || holder.process.endsWith("front") || holder.isFoundHappened) return;
  if (holder.run !== undefined) holder.run.checkFinal(status, expect);
  else expect(false, "F1", "an outcome was recorded under a claim of which nothing ran");
}
