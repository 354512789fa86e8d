import type { OperationOptions } from "@idemkit/engine";
import type { Disposition, On5xx } from "./disposition.ts";
import { type Problem, type ProblemFormat, problemJson } from "./problems.ts";

/** What is laid under the options of an API that follows somebody's habits. */
export interface Preset {
  readonly replayHeader: string;
  readonly on5xx?: On5xx;
  readonly classify?: (response: {
    readonly status: number;
    readonly isWhole: boolean;
  }) => Disposition | undefined;
  readonly fingerprint?: false;
  /** Options of the engine. */
  readonly operation?: Pick<OperationOptions, "guarantee" | "replayMs">;
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

/** Senders retry for up to about three days (Stripe, Standard Webhooks), and people resend later than that. */
const WEBHOOK_REPLAY_MS = 7 * 86_400_000;

/**
 * A sender delivers an event again until it gets 2xx. An event that was worked on gets it too if its response
 * was not kept: only 2xx is recorded.
 */
const webhookProblem: ProblemFormat = (problem) => {
  if (problem.code !== "response-not-stored") return problemJson(problem);
  const { code, detail } = problem;
  return { status: 200, contentType: "application/json", body: { code, detail } };
};

/**
 * - `ietf`: draft-07 and RFC 9457.
 * - `stripe`: what clients of Stripe's API expect; responses with every status are recorded.
 * - `retryable`: as `ietf`, but 5xx gives the key back: only right where a failure has no effect.
 * - `webhook`: for deliveries of events. Only 2xx is recorded, and any other response gives the key back, so
 *   that the handler runs again at the redelivery (at-least-once). The body is not compared.
 */
export const PRESETS = {
  ietf: { replayHeader: "Idempotency-Replayed", format: problemJson },
  stripe: {
    replayHeader: "Idempotent-Replayed",
    classify: ({ isWhole }) => (isWhole ? "record" : "stub"),
    format: stripeError,
  },
  retryable: { replayHeader: "Idempotency-Replayed", on5xx: "release", format: problemJson },
  webhook: {
    replayHeader: "Idempotency-Replayed",
    classify: ({ status }) => (status >= 200 && status <= 299 ? undefined : "release"),
    fingerprint: false,
    operation: { guarantee: "at-least-once", replayMs: WEBHOOK_REPLAY_MS },
    format: webhookProblem,
  },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof PRESETS;
