import { claimClauses } from "./clauses/claim.ts";
import { modelClauses } from "./clauses/model.ts";
import { raceClauses } from "./clauses/races.ts";
import { readingClauses } from "./clauses/reading.ts";
import { writeClauses } from "./clauses/writes.ts";
import type { Clause } from "./harness.ts";

export type { Clause, Harness } from "./harness.ts";

/** Every promise of the Store contract. A store is one that keeps them all; none can be left out. */
export const clauses: readonly Clause[] = [
  ...claimClauses,
  ...writeClauses,
  ...readingClauses,
  ...raceClauses,
  ...modelClauses,
];
