export { batchedStore } from "./batching-front.ts";
export type {
  ClaimHandle,
  PolicyEnd,
  PolicyEndOptions,
  TransactionalClaimHandle,
  Written,
} from "./claim-handle.ts";
export type { ClaimContext, Context, TransactionalContext } from "./context.ts";
export { createEngine } from "./create-engine.ts";
export type {
  Begun,
  Engine,
  EngineOn,
  Executed,
  ListOptions,
  Outcome,
  Replayed,
  TransactionalEngine,
} from "./engine.ts";
export {
  ConflictError,
  EngineClosedError,
  type ErrorCode,
  IdempotencyError,
  InProgressError,
  InvalidKeyError,
  InvalidScopeError,
  LeaseLostError,
  OutcomeUnknownError,
  ReplayedError,
  ResultUnavailableError,
  SettleRefusedError,
  StoreError,
  type StoreOperation,
  type UnknownReason,
} from "./errors.ts";
export type { EventMap, EventName, Listener } from "./events.ts";
export type { Finding, Resolution } from "./finding.ts";
export type { DeriveKeyOptions, Scope } from "./identity.ts";
export { NotJsonError } from "./json.ts";
export type { JsonLike, Payload } from "./json-like.ts";
export type { Line, LineResult, LinesContext, NewLine, Verdict } from "./lines.ts";
export { type MemoryStoreOptions, memoryStore } from "./memory-store.ts";
export type {
  Decision,
  InspectedRecord,
  InspectedStep,
  SettleNote,
  SettleOptions,
} from "./operators.ts";
export type {
  CallOptions,
  EngineOptions,
  ExecuteOptions,
  OperationOptions,
  Reference,
} from "./options.ts";
export type {
  DuplicatePolicy,
  ErrorPolicy,
  Guarantee,
  LapsedPolicy,
  Reconcile,
} from "./policies.ts";
export { type AbortReason, RunAbortedError } from "./run-abort.ts";
export type { Runtime } from "./runtime.ts";
export type { StepOptions } from "./steps.ts";
export type * from "./store.ts";
export { UnclearCommitError } from "./unclear-commit.ts";
