import type { Bug } from "./bug.ts";

/** Faults of an engine about what runs, for how long, and who hears of it. */
export const runBugs: readonly Bug[] = [
  {
    name: "fails-open",
    where: "engine",
    what: "if the store does not respond, the function runs without a claim (node-idempotency, if the record is gone when it is read)",
    edits: [
      {
        file: "create-engine.ts",
        from: 'const begun = await begin(own, call);\n    if (begun.kind === "replay") return',
        to: 'const begun = await begin(own, call).catch((error: any) => {\n      if (error.code !== "STORE_FAILED") throw error;\n      const written = async () => ({ recorded: false });\n      return { kind: "execute", claim: { token: 1, attempt: 1, complete: written, fail: written, release: written, hold: written, signal: new AbortController().signal } } as any;\n    });\n    if (begun.kind === "replay") return',
      },
    ],
  },
  {
    name: "runs-under-a-lapsed-lease",
    where: "engine",
    what: "the function runs under a claim whose response took longer than its lease",
    edits: [
      {
        file: "begin.ts",
        from: "const countedFromMs = await confirm(scope, granted, sentAtMs, hasLeft);",
        to: "const countedFromMs: number | undefined = hasLeft() ? sentAtMs : sentAtMs;",
      },
    ],
  },
  {
    name: "at-most-once-takes-over",
    where: "engine",
    what: "lapsed work runs again whatever guarantee was chosen",
    edits: [
      {
        file: "policies.ts",
        from: "if (onLapsed !== undefined) return onLapsed;",
        to: 'if (onLapsed !== "block") return onLapsed ?? "rerun";',
      },
    ],
  },
  {
    name: "take-over-given-back",
    where: "engine",
    what: "a claim that took over is released when it is given up, and lapsed work reads as new",
    edits: [
      {
        file: "store-client.ts",
        from: "if (takenOver) return this.renew({ ...claim, leaseMs: 0 }, timeoutMs);",
        to: "void takenOver;",
      },
    ],
  },
  {
    name: "never-renews",
    where: "engine",
    what: "a function may run no longer than its lease",
    edits: [
      {
        file: "heartbeats.ts",
        from: "round.add(beat);\n    return {",
        to: "return {",
      },
    ],
  },
  {
    name: "renews-once",
    where: "engine",
    what: "a function may run no longer than its lease and one renewal",
    edits: [{ file: "heartbeats.ts", from: "beat.round.add(beat);", to: "void beat.round;" }],
  },
  {
    name: "gives-back-for-ever",
    where: "engine",
    what: "giving back goes on until the record it made may have expired",
    edits: [
      {
        file: "give-backs.ts",
        from: "if (doubt.isOver || lifetime.isEnded || this.#runtime.monotonicMs() > untilMs) break;",
        to: "if (doubt.isOver || lifetime.isEnded) break;",
      },
      {
        file: "give-backs.ts",
        from: "let pauseMs = Math.min(FIRST_PAUSE_MS, PAUSE_SHARE * request.leaseMs);",
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
        file: "lease.ts",
        from: "this.#isFree = true;\n    this.stop();",
        to: "this.#isFree = true;",
      },
    ],
  },
  {
    name: "late-renewal-arms-again",
    where: "engine",
    what: "a renewal whose response comes after the end sets its timer again",
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
        file: "lease.ts",
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
    what: "close does not wait for an operator's call, which goes on afterwards",
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
    what: "an operator's decision goes by an earlier read, and overrules an owner that has renewed",
    edits: [{ file: "operators.ts", from: "ifLapsed: !overrule, ", to: "" }],
  },
  {
    name: "settle-without-owner",
    where: "engine",
    what: "an operator's decision removes the open record instead of completing it in the owner's name",
    edits: [
      {
        file: "operators.ts",
        from: "let isDone = await client.complete(completion, storeTimeoutMs);",
        to: "await client.remove(id, token, storeTimeoutMs);\n  let isDone = await client.complete(completion, storeTimeoutMs);\n  isDone = true;",
      },
    ],
  },
];
