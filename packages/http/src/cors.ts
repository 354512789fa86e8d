import type { HttpOptions } from "./options.ts";
import { PRESETS } from "./presets.ts";

/** The lists that a CORS middleware needs for browsers to send keys and to see what came of them. */
export interface CorsHeaders {
  /** For Access-Control-Allow-Headers. */
  readonly allowHeaders: string[];
  /** For Access-Control-Expose-Headers. */
  readonly exposeHeaders: string[];
}

/** @param options those of the protection, as far as they name headers */
export function corsHeaders(
  options: Pick<HttpOptions<never>, "headers" | "replayHeader" | "preset"> = {},
): CorsHeaders {
  const { headers = ["Idempotency-Key"], preset = "ietf" } = options;
  const { replayHeader = PRESETS[preset].replayHeader } = options;
  return {
    allowHeaders: ["Content-Type", ...headers],
    exposeHeaders: [
      ...[replayHeader, "Retry-After", "Location", "Link"],
      ...(preset === "stripe" ? ["Stripe-Should-Retry"] : []),
    ],
  };
}
