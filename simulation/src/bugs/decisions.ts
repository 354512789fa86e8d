import type { Bug } from "./bug.ts";

const claim = "held-claim.ts";
const steps = "steps.ts";
const beats = "heartbeats.ts";

/** Faults of an engine about what makes a record final, and what may be given back or done again. */
export const decisionBugs: readonly Bug[] = [
  {
    name: "abort-recorded-as-failure",
    where: "engine",
    what: "an error that a function throws after its abort is recorded as the final failure",
    edits: [
      {
        file: claim,
        from: 'if (policy !== "hold" && !isDecided && this.isCutOff) {',
        to: 'if (policy === "release" && !isDecided && this.isCutOff) {',
      },
    ],
  },
  {
    name: "abort-recorded-in-a-transaction",
    where: "engine",
    what: "an error that work throws after its abort is committed as the final failure",
    edits: [
      {
        file: "transaction-work.ts",
        from: 'const isDecided = typeof settings.onError === "function" || !this.#work.isCutOff();',
        to: "const isDecided = true;",
      },
    ],
  },
  {
    name: "doubt-recorded-as-failure",
    where: "engine",
    what: "a function that throws with a step in doubt has failed for good",
    edits: [
      {
        file: claim,
        from: 'if (policy === "hold" ? steps?.hasDoubts : steps?.isInDoubt) return await this.leaveOpen();',
        to: 'if (policy === "hold" && steps?.hasDoubts) return await this.leaveOpen();',
      },
    ],
  },
  {
    name: "doubt-completed",
    where: "engine",
    what: "a function that swallows the doubt about a step and returns a value has succeeded",
    edits: [
      {
        file: claim,
        from: "if (!this.#steps?.hasDoubts) return await this.record(value);",
        to: "if (steps !== null) return await this.record(value);",
      },
    ],
  },
  {
    name: "steps-not-awaited",
    where: "engine",
    what: "a function that throws is ended while its other steps go on",
    edits: [
      { file: steps, from: "return this.#running.size > 0;", to: "return false;" },
      { file: steps, from: "await this.finished();\n", to: "" },
    ],
  },
  {
    name: "failed-steps-not-saved",
    where: "engine",
    what: "a key is given back before the store knows which steps have failed",
    edits: [
      {
        file: "claim-end.ts",
        from: "      if (!(await isSaved(steps))) return false;\n      // A claim that is to lapse",
        to: "      // A claim that is to lapse",
      },
    ],
  },
  {
    name: "abort-given-back",
    where: "engine",
    what: "under the policy that releases, an error after an abort gives the key back",
    edits: [
      {
        file: claim,
        from: 'if (policy !== "hold" && !isDecided && this.isCutOff) {',
        to: 'if (policy === "record" && !isDecided && this.isCutOff) {',
      },
    ],
  },
  {
    name: "aborted-claim-released",
    where: "engine",
    what: "a claim that an abort leaves open is released, as if nothing had run",
    edits: [
      {
        file: "claim-end.ts",
        from: "if (isAborted()) return true;\n      return await client.release(this.#claim, true,",
        to: "return await client.release(this.#claim, !isAborted(),",
      },
    ],
  },
  {
    name: "marker-dropped-after-abort",
    where: "engine",
    what: "a step that throws after the abort counts as one that has not happened",
    edits: [
      {
        file: steps,
        from: "if (this.#claim.abortReason() !== undefined) this.#cutOff.add(name);",
        to: "if (name === undefined) this.#cutOff.add(name);",
      },
    ],
  },
  {
    name: "step-before-its-marker",
    where: "engine",
    what: "a step runs before its marker is in the store",
    edits: [
      {
        file: steps,
        from: "const wrong = await this.#save();\n      if (wrong !== undefined) {\n        // It has",
        to: "void this.#save();\n      const wrong = undefined as Error | undefined;\n      if (wrong !== undefined) {\n        // It has",
      },
    ],
  },
  {
    name: "released-step-runs-again",
    where: "engine",
    what: "after a release, a step that was begun runs again instead of being in doubt",
    edits: [
      {
        file: "claim-steps.ts",
        from: 'return policy === "rerun" || (takenOver && typeof policy === "function");',
        to: 'return policy === "rerun" || !takenOver || typeof policy === "function";',
      },
    ],
  },
  {
    name: "done-step-runs-again",
    where: "engine",
    what: "a step that an earlier run has done runs again",
    edits: [
      {
        file: steps,
        from: "const known = this.#log.get(name);\n    if (known !== undefined && known.begun === undefined) return this.#kept<T>(known.body);",
        to: "const kept = this.#log.get(name);\n    const known = kept?.begun === undefined ? undefined : kept;",
      },
    ],
  },
  {
    name: "late-claim-runs",
    where: "engine",
    what: "work that has not happened runs although the claim was lost while that was found out",
    edits: [
      {
        file: "abandoned.ts",
        from: "    if (claim.abortReason !== undefined) throw claim.abortReason;\n",
        to: "",
      },
    ],
  },
  {
    name: "lapses-at-once-after-abort",
    where: "engine",
    what: "after an abort the claim lapses at once, while its request may still be on its way",
    edits: [
      {
        file: "claim-end.ts",
        from: "if (isAborted()) return true;\n",
        to: "",
      },
    ],
  },
  {
    name: "progress-shortens-the-lease",
    where: "engine",
    what: "the result of a step that ends after the abort leaves nothing of the lease",
    edits: [
      {
        file: "claim-steps.ts",
        from: "...(!isAborted && { leaseMs })",
        to: "leaseMs: isAborted ? 1 : leaseMs",
      },
    ],
  },
  {
    name: "step-begins-after-abort",
    where: "engine",
    what: "after the abort of its run a step still begins",
    edits: [
      {
        file: steps,
        from: "if (reason === undefined) return;\n    this.#hasRejected = true;",
        to: "if (reason === undefined || this.#names.size > 0) return;\n    this.#hasRejected = true;",
      },
    ],
  },
  {
    name: "no-limit-to-a-run",
    where: "engine",
    what: "a function that never ends is renewed for ever, whatever `maxRunMs` says",
    edits: [
      { file: beats, from: "if (ranMs >= maxRunMs) {", to: "if (ranMs < 0) {" },
      {
        file: beats,
        from: "return Math.min(sentAtMs + leaseMs / RENEWALS_PER_LEASE, startedAtMs + maxRunMs);",
        to: "return sentAtMs + leaseMs / RENEWALS_PER_LEASE;",
      },
    ],
  },
  {
    name: "reconciles-at-once",
    where: "engine",
    what: "the provider is asked as soon as the lease is over, while a request may still arrive",
    edits: [{ file: "policies.ts", from: "return settleAfterMs ?? leaseMs;", to: "return 0;" }],
  },
  {
    name: "take-over-does-not-wait",
    where: "store",
    what: "a lapsed claim is taken over at once by a request that is to wait",
    edits: [
      {
        file: "transition.ts",
        from: "return takeOver && leaseEndsAt + takeOverAfterMs <= nowMs;",
        to: "return takeOver && leaseEndsAt + 0 * takeOverAfterMs <= nowMs;",
      },
    ],
  },
  {
    name: "renewal-counted-from-its-answer",
    where: "engine",
    what: "a renewed lease is counted from the store's response instead of from the request",
    edits: [
      {
        file: beats,
        from: "confirm(beat, sentAtMs);\n      beat.round.add(beat);",
        to: "confirm(beat, this.#runtime.monotonicMs());\n      beat.round.add(beat);",
      },
    ],
  },
  {
    name: "lapse-not-noticed",
    where: "engine",
    what: "a function whose lease is over without a renewal gets no abort",
    edits: [{ file: beats, from: "beat.spec.onOver();", to: "void beat.spec.onOver;" }],
  },
  {
    name: "lapsed-claim-renewed",
    where: "engine",
    what: "the heartbeat goes on while a claim is let lapse, and a renewal behind that revives it",
    edits: [{ file: "claim-end.ts", from: "if (isToLapse) this.#lease.stop();", to: "" }],
  },
  {
    name: "give-back-takes-over",
    where: "engine",
    what: "a claim that is given back late takes lapsed work over first",
    edits: [
      {
        file: "give-backs.ts",
        from: "const again = { ...request, takeOver: false };",
        to: "const again = request;",
      },
    ],
  },
];
