export { batchedStore } from "./batching-front.ts";
export type { ClaimHandle, Context, Written } from "./claim-handle.ts";
export { createEngine } from "./create-engine.ts";
export type {
  Begun,
  Engine,
  Executed,
  ListOptions,
  Outcome,
  Replayed,
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
export type { Scope } from "./identity.ts";
export { NotJsonError } from "./json.ts";
export type { JsonLike, Payload } from "./json-like.ts";
export { type MemoryStoreOptions, memoryStore } from "./memory-store.ts";
export type { Decision, InspectedRecord, SettleNote } from "./operators.ts";
export type {
  AbandonedPolicy,
  CallOptions,
  DuplicatePolicy,
  EngineOptions,
  ErrorPolicy,
  Guarantee,
  OperationOptions,
} from "./options.ts";
export type { Runtime } from "./runtime.ts";
export type * from "./store.ts";
