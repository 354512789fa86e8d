import type { Disposition, On5xx } from "./disposition.ts";
import { type Problem, type ProblemFormat, problemJson } from "./problems.ts";

/** What is laid under the options of an API that follows somebody's habits. */
export interface Preset {
  readonly replayHeader: string;
  readonly on5xx?: On5xx;
  readonly classify?: (response: { readonly isWhole: boolean }) => Disposition;
  readonly format: ProblemFormat;
}

/** Stripe's bodies have an `error` with a type, and for some problems a code. */
const stripeError: ProblemFormat = ({ code, status, detail, retryable }: Problem) => {
  const error = (type: string, known?: string) => ({
    error: { type, ...(known !== undefined && { code: known }), message: detail },
  });
  // Without it, their clients repeat every 409.
  const headers = { "stripe-should-retry": String(retryable) };
  const common = { status, contentType: "application/json", headers };
  switch (code) {
    case "key-reused":
      return { ...common, status: 400, body: error("idempotency_error") };
    case "in-progress":
      return { ...common, body: error("invalid_request_error", "idempotency_key_in_use") };
    case "store-unavailable":
      return { ...common, body: error("api_error") };
    default:
      return { ...common, body: error("invalid_request_error", code) };
  }
};

/**
 * - `ietf`: draft-07 and RFC 9457.
 * - `stripe`: what clients of Stripe's API expect; responses with every status are recorded.
 * - `retryable`: as `ietf`, but 5xx gives the key back: only right where a failure has no effect.
 */
export const PRESETS = {
  ietf: { replayHeader: "Idempotency-Replayed", format: problemJson },
  stripe: {
    replayHeader: "Idempotent-Replayed",
    classify: ({ isWhole }) => (isWhole ? "record" : "stub"),
    format: stripeError,
  },
  retryable: { replayHeader: "Idempotency-Replayed", on5xx: "release", format: problemJson },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof PRESETS;
