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
export { type FastifyIdempotencyOptions, idempotency, type RouteIdempotency } from "./plugin.ts";
export { type FastifyStatusOptions, idempotencyStatus } from "./status.ts";
export { idempotencyTransform } from "./transform.ts";
