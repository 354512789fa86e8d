export { type CorsHeaders, corsHeaders } from "./cors.ts";
export { describeOperation, type OperationDescription } from "./describe.ts";
export type { Disposition, On5xx } from "./disposition.ts";
export { drain } from "./drain.ts";
export { isJson, mediaTypeOf, type RequestBody } from "./fingerprint.ts";
export {
  type HeaderList,
  headersOutOfPlace,
  type OutgoingHeaders,
} from "./headers.ts";
export type { HttpOptions, ResponseFacts } from "./options.ts";
export { peekBody } from "./peek.ts";
export type { PresetName } from "./presets.ts";
export {
  type Answer,
  DRAFT_URL,
  PROBLEM_CODES,
  type Problem,
  type ProblemCode,
  ProblemError,
} from "./problems.ts";
export { isClosed, ProtectedRun } from "./protected-run.ts";
export { type Entry, Protection, type RequestFacts } from "./protection.ts";
export type { IdempotencyState } from "./state.ts";
export { StatusEndpoint, type StatusOptions } from "./status.ts";
export {
  encodeResponse,
  type StoredBody,
  type StoredResponse,
} from "./stored-response.ts";
