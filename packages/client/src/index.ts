export { type Answer, type Client, createClient, type Operation } from "./client.ts";
export { IdempotencyDeadlineError, ShouldRetryError } from "./errors.ts";
export type { FetchLike, ResponseLike } from "./fetch.ts";
export type { KeyFormat } from "./key.ts";
export type {
  Attempt,
  ClientOptions,
  Limits,
  OperationOptions,
  RetryEvent,
  RetryReason,
} from "./options.ts";
