/** The reference semantics of a store, for those who test stores: simulators, mutants, checkers. */
export { type ModelStoreOptions, modelStore } from "./model-store.ts";
export { type StoredRecord, viewOf } from "./record.ts";
export {
  type Answer,
  type Given,
  type OperationName,
  type Step,
  type Transition,
  transition,
} from "./transition.ts";
