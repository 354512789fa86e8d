export {
  type CorsHeaders,
  corsHeaders,
  describeOperation,
  encodeResponse,
  type HttpOptions,
  type IdempotencyState,
  ProblemError,
  ResponseError,
  type StoredResponse,
} from "@idemkit/http";
export { type IdempotentState, idempotency, type KoaOptions } from "./idempotency.ts";
export { idempotencyStatus, type KoaStatusOptions } from "./status.ts";
