import type { Engine } from "@idemkit/engine";
import { wrong } from "./option-checks.ts";
import type { HttpOptions } from "./options.ts";
import type { Preset } from "./presets.ts";

type Options = HttpOptions<never>;

/** Base64, and six characters for one where JSON escapes it, and the headers. */
const RESULT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The engine of a binding: the application's own, with the preset's options and those of the binding.
 *
 * @param exclude JSON Pointers to members of a body that only its parser has
 */
export function checkedEngine(
  { engine, onDuplicate, replayMs }: Options,
  { operation }: Preset,
  exclude: readonly string[],
): Engine {
  if (typeof (engine as Partial<Engine> | undefined)?.begin !== "function") {
    throw wrong("engine", "an engine of createEngine", engine);
  }
  // Silence would let members count that were meant not to.
  if (engine.exclude.length > 0) {
    throw new TypeError(
      "engine: expected one without `exclude`, which does not apply to requests. Give the binding an engine " +
        "of its own, engine.with({ exclude: [] }), and the option fingerprint: { exclude }.",
    );
  }
  return engine.with({
    ...operation,
    ...(replayMs !== undefined && { replayMs }),
    ...(onDuplicate !== undefined && {
      onDuplicate: onDuplicate === "accepted" ? "reject" : onDuplicate,
    }),
    exclude: exclude.map((pointer) => `/parsed${pointer}`),
    maxResultBytes: RESULT_BYTES_MAX,
  });
}

/** @throws TypeError with the expected and the given value */
export function checkedOnDuplicate({ onDuplicate, statusUrl }: Options): Options["onDuplicate"] {
  if (typeof onDuplicate === "object" && onDuplicate !== null) return onDuplicate;
  if (onDuplicate !== undefined && onDuplicate !== "reject" && onDuplicate !== "accepted") {
    throw wrong("onDuplicate", "'reject', 'accepted' or { waitMs }", onDuplicate);
  }
  if (onDuplicate === "accepted" && statusUrl === undefined) {
    throw wrong("statusUrl", "a function, as `onDuplicate` is 'accepted'", statusUrl);
  }
  return onDuplicate;
}

/**
 * Checks the options that protect webhooks.
 *
 * @throws TypeError if deliveries would be taken unverified, without the event's own key, or too early
 */
export function checkWebhook({ preset, key, verify, onDuplicate }: Options): void {
  if (preset !== "webhook") return;
  const because = "because `preset` is 'webhook'";
  if (verify === undefined) throw wrong("verify", `a function, ${because}`, verify);
  if (key === undefined) throw wrong("key", `a function, ${because}`, key);
  if (onDuplicate === "accepted") {
    // The sender takes 202 for a delivery, and the first one may fail yet.
    throw wrong("onDuplicate", `'reject' or { waitMs }, ${because}`, onDuplicate);
  }
}
