import type { Bug } from "./bug.ts";

/** Faults of an engine: what goes wrong between a sound store and a caller. */
export const engineBugs: readonly Bug[] = [
  {
    name: "no-fingerprint",
    where: "engine",
    what: "a key is enough: another content gets the outcome of the first (Powertools, unless told otherwise)",
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
    what: "a caller is told that its outcome is recorded before the store has it",
    edits: [
      {
        file: "claim-handle.ts",
        from: 'const answer = await this.#end("complete", client.complete(completion, storeTimeoutMs));',
        to: 'void this.#end("complete", client.complete(completion, storeTimeoutMs)).catch(() => undefined);\n    const answer = "true" as "true" | "false" | { error: unknown };',
      },
    ],
  },
  {
    name: "unrecorded-called-recorded",
    where: "engine",
    what: "a completion whose answer is lost counts as recorded",
    edits: [
      {
        file: "claim-handle.ts",
        from: 'this.#scope.events.emit("store-error", () => ({ digest, operation, error }));\n      return { error };',
        to: 'this.#scope.events.emit("store-error", () => ({ digest, operation, error }));\n      return "true";',
      },
    ],
  },
  {
    name: "refusal-called-recorded",
    where: "engine",
    what: "a late owner whose completion is refused is told that it was recorded",
    edits: [
      {
        file: "claim-handle.ts",
        from: 'if (answer === "false") throw new LeaseLostError({ token: this.token, ...late });',
        to: 'if (answer === "false") return { recorded: true };',
      },
    ],
  },
  {
    name: "result-by-reference",
    where: "engine",
    what: "callers in one process are given the same object, and what one does to it the others see",
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
        file: "claim-handle.ts",
        from: "const { body, notKeptBecause } = encodeValue(",
        to: "(this.#flight as any).unrecorded = { value: JSON.parse(JSON.stringify(value, (_, each) => typeof each === 'bigint' ? 0 : each)), token: this.token };\n    const { body, notKeptBecause } = encodeValue(",
      },
      {
        file: "begin.ts",
        from: "await wait(scope, call, asked, owner, untilMs);",
        to: 'await wait(scope, call, asked, owner, untilMs);\n      const made = asked.kind === "attached" ? (asked.flight as any).unrecorded : undefined;\n      if (made !== undefined) return { kind: "replay", attempt: 1, createdAt: 0, completedAt: 0, ...made };',
      },
    ],
  },
  {
    name: "fresh-owner-on-retry",
    where: "engine",
    what: "a claim whose answer was lost is sent again under another name",
    edits: [
      {
        file: "begin.ts",
        from: "return await client.claim(request, storeTimeoutMs);",
        to: "try {\n        return await client.claim(request, storeTimeoutMs);\n      } catch {\n        (request as any).owner = runtime.newOwner();\n        return await client.claim(request, storeTimeoutMs);\n      }",
      },
    ],
  },
  {
    name: "fresh-owner-each-round",
    where: "engine",
    what: "a call that asks again is another owner, to whom its own delayed claim is a stranger's",
    edits: [
      {
        file: "begin.ts",
        from: "await ask(scope, call, owner);",
        to: "await ask(scope, call, runtime.newOwner());",
      },
    ],
  },
  {
    name: "unknown-taken-for-failure",
    where: "engine",
    what: "an outcome that nobody knows is replayed as a failure",
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
    what: "a completion whose answer is lost counts as failed, and the key is given back",
    edits: [
      {
        file: "claim-handle.ts",
        from: 'this.#scope.events.emit("store-error", () => ({ digest, operation, error }));\n      return { error };',
        to: 'this.#scope.events.emit("store-error", () => ({ digest, operation, error }));\n      await this.#scope.client.release(this.#claim, this.#scope.settings.storeTimeoutMs).catch(() => undefined);\n      return { error };',
      },
    ],
  },
  {
    name: "failure-given-back",
    where: "engine",
    what: "whatever the policy, a failure gives the key back (Powertools deletes the record of a failed handler)",
    edits: [
      {
        file: "create-engine.ts",
        from: "await claim.fail(error);",
        to: "await claim.release();",
      },
    ],
  },
  {
    name: "fails-open",
    where: "engine",
    what: "where the store gives no answer, the function runs without a claim (node-idempotency, where the record is gone when it is read)",
    edits: [
      {
        file: "create-engine.ts",
        from: 'const begun = await this.#begin(scope, key, payload, settings, options?.signal);\n    if (begun.kind === "replay") return replayed<T>(begun);',
        to: 'const begun = await this.#begin(scope, key, payload, settings, options?.signal).catch((error: any) => {\n      if (error.code !== "STORE_FAILED") throw error;\n      const written = async () => ({ recorded: false });\n      return { kind: "execute", claim: { token: 1, attempt: 1, complete: written, fail: written, release: written, hold: written, signal: new AbortController().signal } } as any;\n    });\n    if (begun.kind === "replay") return replayed<T>(begun);',
      },
    ],
  },
  {
    name: "runs-under-a-lapsed-lease",
    where: "engine",
    what: "a claim whose answer took longer than its lease is run under all the same",
    edits: [
      {
        file: "begin.ts",
        from: "const countedFromMs = hasLeft ? sentAtMs : await confirm(scope, granted, sentAtMs);",
        to: "const countedFromMs: number | undefined = hasLeft ? sentAtMs : sentAtMs;",
      },
    ],
  },
  {
    name: "at-most-once-takes-over",
    where: "engine",
    what: "lapsed work runs again whatever guarantee was chosen",
    edits: [
      {
        file: "options.ts",
        from: 'return (onAbandoned ?? (guarantee === "at-least-once" ? "rerun" : "block")) === "rerun";',
        to: "return onAbandoned !== undefined || guarantee !== undefined;",
      },
    ],
  },
  {
    name: "take-over-given-back",
    where: "engine",
    what: "a claim that took over is given back when its answer was lost, and lapsed work reads as new",
    edits: [
      {
        file: "store-client.ts",
        from: 'const isNew = again.outcome === "claimed" && !again.takenOver;\n      if (isNew) {',
        to: 'if (again.outcome === "claimed") {',
      },
    ],
  },
  {
    name: "gives-back-for-ever",
    where: "engine",
    what: "giving back goes on until the record it made may have expired",
    edits: [
      {
        file: "store-client.ts",
        from: "if (lifetime.isEnded || this.#runtime.monotonicMs() > untilMs) break;",
        to: "if (lifetime.isEnded) break;",
      },
      {
        file: "store-client.ts",
        from: "let pauseMs = Math.min(GIVE_BACK_PAUSE_MS, GIVE_BACK_SHARE * request.leaseMs);",
        to: "let pauseMs = 4 * request.leaseMs;",
      },
    ],
  },
  {
    name: "leaked-heartbeat",
    where: "engine",
    what: "a claim is renewed for ever after its end",
    edits: [
      {
        file: "claim-handle.ts",
        from: "this.#isFree = true;\n    this.#stopBeating();",
        to: "this.#isFree = true;",
      },
    ],
  },
  {
    name: "late-renewal-arms-again",
    where: "engine",
    what: "a renewal that answers after the end sets its timer again",
    edits: [
      {
        file: "heartbeats.ts",
        from: "if (beat.isStopped) return;\n      if (!isHeld) {\n        beat.isStopped = true;\n        onRefused();\n        return;\n      }",
        to: "if (!isHeld && !beat.isStopped) {\n        beat.isStopped = true;\n        onRefused();\n        return;\n      }",
      },
    ],
  },
  {
    name: "flight-never-lands",
    where: "engine",
    what: "a call that ended stays known as running in its process",
    edits: [
      {
        file: "claim-handle.ts",
        from: "this.#withdraw();\n    this.#scope.client.flights.land(this.#flight);",
        to: "this.#withdraw();",
      },
    ],
  },
  {
    name: "errors-quote-the-driver",
    where: "engine",
    what: "the message of an error repeats the driver's, with details of the row",
    edits: [
      {
        file: "errors.ts",
        from: "driverCode(cause)}. See",
        to: "(cause as Error).message}. See",
      },
    ],
  },
  {
    name: "raw-errors-in-events",
    where: "engine",
    what: "the event of a failed renewal carries the driver's error itself",
    edits: [
      {
        file: "store-client.ts",
        from: "new Heartbeats((...asked) => this.renew(...asked), runtime)",
        to: "new Heartbeats((...asked) => this.#front.renew(...asked), runtime)",
      },
    ],
  },
  {
    name: "close-forgets-operators",
    where: "engine",
    what: "close does not wait for what an operator does, which goes on afterwards",
    edits: [
      {
        file: "create-engine.ts",
        from: "lifetime.checkOpen();\n    lifetime.enter();\n    try {\n      return await act(this.#scope);\n    } finally {\n      lifetime.leave();\n    }",
        to: "lifetime.checkOpen();\n    return await act(this.#scope);",
      },
      {
        file: "operators.ts",
        from: "if (lifetime.isEnded) throw new EngineClosedError();",
        to: "void lifetime;",
      },
    ],
  },
  {
    name: "settle-overrules",
    where: "engine",
    what: "an operator's decision goes by what was read before, and overrules an owner that has renewed",
    edits: [{ file: "operators.ts", from: "ifLapsed: true, ", to: "" }],
  },
  {
    name: "settle-without-owner",
    where: "engine",
    what: "an operator removes what is open instead of deciding in the owner's name",
    edits: [
      {
        file: "operators.ts",
        from: "let isDone = await client.complete(completion, storeTimeoutMs);",
        to: "await client.remove(id, token, storeTimeoutMs);\n  let isDone = await client.complete(completion, storeTimeoutMs);\n  isDone = true;",
      },
    ],
  },
];
