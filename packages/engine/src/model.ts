/** Shared by stores, bindings and their tests: the reference semantics, and words for errors. */
export { describe, named, shown } from "./describe.ts";
export { type CheckOptions, type Durability, durabilityProblems } from "./durability.ts";
export { InOrder } from "./in-order.ts";
export { type ModelStoreOptions, modelStore } from "./model-store.ts";
export { type StoredRecord, viewOf } from "./record.ts";
export { expectAsked, type FoundRecord, recordInRow, recordsByDigest } from "./record-row.ts";
export { columnProblems, refuseOtherTable } from "./table-columns.ts";
export {
  type OpenTransaction,
  type TransactingDatabase,
  transactInRounds,
} from "./transaction-rounds.ts";
export {
  type Answer,
  type Given,
  type OperationName,
  type Step,
  type Transition,
  transition,
} from "./transition.ts";
export { trialProblem } from "./trial.ts";
export { hasCause } from "./undecided.ts";
