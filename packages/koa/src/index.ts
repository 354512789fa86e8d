export {
  type CorsHeaders,
  corsHeaders,
  describeOperation,
  type HttpOptions,
  type IdempotencyState,
  ProblemError,
} from "@idemkit/http";
export { type IdempotentState, idempotency, type KoaOptions } from "./idempotency.ts";
export { idempotencyStatus, type KoaStatusOptions } from "./status.ts";
