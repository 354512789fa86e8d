import { claimClauses } from "./clauses/claim.ts";
import { clockClauses } from "./clauses/clocks.ts";
import { completeClauses } from "./clauses/complete.ts";
import { eachClauses } from "./clauses/each.ts";
import { listEntriesClauses } from "./clauses/list-entries.ts";
import { listsClauses } from "./clauses/lists.ts";
import { livesClauses } from "./clauses/lives.ts";
import { modelClauses } from "./clauses/model.ts";
import { numberClauses } from "./clauses/numbers.ts";
import { purgeClauses } from "./clauses/purge.ts";
import { raceClauses } from "./clauses/races.ts";
import { readClauses } from "./clauses/read.ts";
import { releaseClauses } from "./clauses/release.ts";
import { renewClauses } from "./clauses/renew.ts";
import { transactClauses } from "./clauses/transact.ts";
import { valueClauses } from "./clauses/values.ts";
import type { Clause } from "./harness.ts";
import type { TransactionalClause } from "./transactional-harness.ts";

export type { Clause, Harness } from "./harness.ts";
export type { TransactionalClause, TransactionalHarness } from "./transactional-harness.ts";

/** Every promise of the Store contract. A store is one that keeps them all; none can be left out. */
export const clauses: readonly Clause[] = [
  ...claimClauses,
  ...renewClauses,
  ...completeClauses,
  ...releaseClauses,
  ...livesClauses,
  ...readClauses,
  ...clockClauses,
  ...purgeClauses,
  ...listsClauses,
  ...listEntriesClauses,
  ...valueClauses,
  ...numberClauses,
  ...raceClauses,
  ...eachClauses,
  ...modelClauses,
];

/** Every promise of the TransactionalStore contract, beside those of every store. */
export const transactionalClauses: readonly TransactionalClause[] = transactClauses;
