import type { Mutant } from "../mutants.ts";

/** Rules of the engine that the bindings rely on. */
export const ENGINE: readonly Mutant[] = [
  {
    name: "a lease is not renewed",
    file: "engine/src/lease.ts",
    from: "if (client.isBound) return NO_HEARTBEAT;",
    to: "return NO_HEARTBEAT;",
    caughtBy: "a handler keeps its key for as long as it runs",
  },
  {
    name: "in progress comes before the comparison",
    file: "engine/src/meet.ts",
    from: "checkFingerprint(scope, call, other.fingerprint);",
    to: "if (asked.kind !== 'attached') checkFingerprint(scope, call, other.fingerprint);",
    caughtBy: "another request under a key that still runs is refused as such",
  },
  {
    name: "an error after an abort is recorded",
    file: "engine/src/held-claim.ts",
    from: 'if (policy !== "hold" && !isDecided && this.isCutOff) {',
    to: 'if (policy === ("never" as string)) {',
    caughtBy: "a handler that throws because the engine was closed leaves its key open",
  },
  {
    name: "a 5xx after an abort is recorded",
    file: "engine/src/held-claim.ts",
    from: 'if (policy !== "hold" && !isDecided && this.isCutOff) {',
    to: 'if (!("value" in outcome) && !isDecided && this.isCutOff) {',
    caughtBy: "a 5xx that the handler sends after the engine's abort leaves its key open",
  },
  {
    name: "an error that decides nothing is recorded",
    file: "engine/src/run.ts",
    from: "const isOpen = !(isDecided || claim.isCutOff) && isUndecided(error);",
    to: "const isOpen = false;",
    caughtBy:
      "the OutcomeUnknownError of another call that leaves the handler decides nothing, with no error handler",
  },
];
