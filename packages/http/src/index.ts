export { type CorsHeaders, corsHeaders } from "./cors.ts";
export { describeOperation, type OperationDescription } from "./describe.ts";
export type { Disposition, On5xx } from "./disposition.ts";
export { drain } from "./drain.ts";
export { mediaTypeOf, type RequestBody } from "./fingerprint.ts";
export type { FingerprintOption, FingerprintValue } from "./fingerprint-option.ts";
export { type Admission, Guard, type RequestFacts } from "./guard.ts";
export { HandlerRaw } from "./handler-raw.ts";
export { checkHeaders, type HeaderList, unframed } from "./headers.ts";
export type { NamedResponse } from "./named-response.ts";
export type { HttpOptions, ResponseFacts } from "./options.ts";
export { peekBody } from "./peek.ts";
export type { PresetName } from "./presets.ts";
export {
  DRAFT_URL,
  PROBLEM_CODES,
  type Problem,
  type ProblemCode,
  ProblemError,
} from "./problems.ts";
export { type Instead, ProtectedRun } from "./protected-run.ts";
export { ResponseError } from "./response-error.ts";
export type { IdempotencyState } from "./state.ts";
export { StatusEndpoint, type StatusOptions } from "./status.ts";
export {
  bytesBody,
  checkStatus,
  encodeResponse,
  headerOf,
  jsonBody,
  jsonTextBody,
  payloadOf,
  type Sendable,
  type StoredBody,
  type StoredResponse,
  textBody,
} from "./stored-response.ts";
export { destroyStream, isThenable } from "./streams.ts";
export { errorRecord, isMadeBy, statusOfError } from "./thrown.ts";
