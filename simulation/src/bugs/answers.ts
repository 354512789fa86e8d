import type { Bug } from "./bug.ts";

/** Faults of an engine about what callers are told. */
export const answerBugs: readonly Bug[] = [
  {
    name: "no-fingerprint",
    where: "engine",
    what: "a key is enough: a different payload gets the outcome of the first (the default of Powertools)",
    edits: [
      {
        file: "meet.ts",
        from: "if (recorded === call.fingerprint) return;",
        to: "if (recorded !== undefined) return;",
      },
    ],
  },
  {
    name: "no-scope",
    where: "engine",
    what: "keys of different scopes meet in one record",
    edits: [
      {
        file: "identity.ts",
        from: 'hash("sha256", prefixed(joined) + prefixed(key), "hex")',
        to: 'hash("sha256", prefixed(key), "hex")',
      },
    ],
  },
  {
    name: "acknowledge-before-recording",
    where: "engine",
    what: "an outcome is reported as recorded before the store has it",
    edits: [
      {
        file: "claim-end.ts",
        from: 'const ended = await this.#wait("complete", asked);',
        to: 'void this.#wait("complete", asked).catch(() => undefined);\n    const ended = "done" as Ended;',
      },
    ],
  },
  {
    name: "unrecorded-called-recorded",
    where: "engine",
    what: "a completion whose response is lost counts as recorded",
    edits: [
      {
        file: "claim-end.ts",
        from: "      return { error };",
        to: '      return "done";',
      },
    ],
  },
  {
    name: "refusal-called-recorded",
    where: "engine",
    what: "a completion that the store refused is reported as recorded",
    edits: [
      {
        file: "claim-end.ts",
        from: 'if (ended === "refused") throw new LeaseLostError({ token, ...late });',
        to: 'if (ended === "refused") return { recorded: true };',
      },
    ],
  },
  {
    name: "result-by-reference",
    where: "engine",
    what: "callers in one process share one result object, so that a change by one caller reaches the others",
    edits: [
      {
        file: "body.ts",
        from: "if (body.startsWith(VALUE)) return { kept: true, value: JSON.parse(body.slice(VALUE.length)) };",
        to: "if (body.startsWith(VALUE)) {\n    const known = (decodeValue as any).known ??= new Map();\n    if (!known.has(body)) known.set(body, JSON.parse(body.slice(VALUE.length)));\n    return { kept: true, value: known.get(body) };\n  }",
      },
    ],
  },
  {
    name: "attached-given-unrecorded",
    where: "engine",
    what: "a duplicate that waits in the same process is given the value, recorded or not",
    edits: [
      {
        file: "held-claim.ts",
        from: "const { body, notKeptBecause } = encodeValue(",
        to: "(this.#lease.flight as any).unrecorded = { value: JSON.parse(JSON.stringify(value, (_, each) => typeof each === 'bigint' ? 0 : each)), token: this.token };\n    const { body, notKeptBecause } = encodeValue(",
      },
      {
        file: "lease.ts",
        from: "  readonly #flight: Flight;",
        to: "  get flight() { return this.#flight; }\n  readonly #flight: Flight;",
      },
      {
        file: "rounds.ts",
        from: "await wait(scope, call, { asked, running, owner, untilMs });",
        to: 'await wait(scope, call, { asked, running, owner, untilMs });\n      const made = asked.kind === "attached" ? (asked.flight as any).unrecorded : undefined;\n      if (made !== undefined) return { kind: "replay", attempt: 1, createdAt: 0, completedAt: 0, ...made };',
      },
    ],
  },
  {
    name: "fresh-owner-on-retry",
    where: "engine",
    what: "a claim whose response was lost is sent again by another owner",
    edits: [
      {
        file: "begin.ts",
        from: "const send = () => client.claim(request, sentAtMs, storeTimeoutMs, lifetime);",
        to: "const send = async () => {\n    try {\n      return await client.claim(request, sentAtMs, storeTimeoutMs, lifetime);\n    } catch {\n      (request as any).owner = runtime.newOwner();\n      return await client.claim(request, sentAtMs, storeTimeoutMs, lifetime);\n    }\n  };",
      },
    ],
  },
  {
    name: "fresh-owner-each-round",
    where: "engine",
    what: "a call that retries gets another owner, so that its own delayed claim blocks it",
    edits: [
      {
        file: "rounds.ts",
        from: "await rounds.ask(owner, takeOver);",
        to: "await rounds.ask(runtime.newOwner(), takeOver);",
      },
    ],
  },
  {
    name: "unknown-taken-for-failure",
    where: "engine",
    what: "an unknown outcome is replayed as a failure",
    edits: [
      {
        file: "meet.ts",
        from: 'if (outcome.status === "unknown") throw unknown(scope, call, outcome, "recorded");',
        to: 'if (outcome.status === "unknown") return { attempt: 1, leaseRemainingMs: 0, replay: replay(scope, call, { ...outcome, status: "failed", body: outcome.body.startsWith("error:") ? outcome.body : \'error:{"message":"unknown"}\' }) };',
      },
    ],
  },
  {
    name: "lost-completion-given-back",
    where: "engine",
    what: "a completion whose response is lost counts as failed, and the key is given back",
    edits: [
      {
        file: "claim-end.ts",
        from: "      return { error };",
        to: "      await this.#scope.client.release(this.#claim, false, this.#scope.settings.storeTimeoutMs).catch(() => undefined);\n      return { error };",
      },
    ],
  },
  {
    name: "failure-given-back",
    where: "engine",
    what: "whatever the policy, a failure gives the key back (Powertools deletes the record of a failed handler)",
    edits: [
      {
        file: "run.ts",
        from: ": await claim.endBy(policy, error, isDecided, outcome);",
        to: ": await claim.release();",
      },
    ],
  },
  {
    name: "mismatch-learns-of-doubt",
    where: "engine",
    what: "a call with a different payload gets the error for an open outcome instead of the conflict",
    edits: [
      {
        file: "meet.ts",
        from: "checkFingerprint(scope, call, other.fingerprint);",
        to: 'if (asked.kind === "attached" || asked.outcome.outcome === "completed") {\n    checkFingerprint(scope, call, other.fingerprint);\n  }',
      },
    ],
  },
  {
    name: "attempt-not-told",
    where: "engine",
    what: "every run gets 1 as its attempt",
    edits: [
      {
        file: "held-claim.ts",
        from: "this.attempt = claimed.attempt;",
        to: "this.attempt = 1;",
      },
    ],
  },
  {
    name: "settle-told-when-refused",
    where: "engine",
    what: "a decision that the store refused is reported to the operator as recorded",
    edits: [
      {
        file: "operators.ts",
        from: "if (!isDone) throw refusal(await client.read(id, storeTimeoutMs));",
        to: "isDone = true;",
      },
    ],
  },
];
