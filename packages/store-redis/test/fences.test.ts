import { randomUUID } from "node:crypto";
import { clauses } from "@idemkit/conformance";
import type { Claim } from "@idemkit/engine";
import { claimed, requestOf } from "@idemkit/test-servers";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { type RedisClient, type RedisStore, redisStore } from "../src/index.ts";
import { Script } from "../src/script.ts";
import * as scripts from "../src/scripts.ts";
import { elapse } from "../src/testing.ts";
import { redis } from "./clients.ts";

interface Break {
  readonly script: "CLAIM" | "RENEW" | "COMPLETE" | "RELEASE" | "REMOVE";
  /** What is taken out of the script, and what stands there instead. */
  readonly from: string;
  readonly to: string;
  readonly caughtBy: string;
}

const FENCE = "record[owner] == byOwner and record[token] == tonumber(byToken)";

// Each condition of each script, taken out: if no clause noticed, it would guard nothing.
const breaks: readonly Break[] = [
  {
    script: "CLAIM",
    from: "if record[owner] == asOwner then",
    to: "if true then",
    caughtBy: "claim.lapsed",
  },
  {
    script: "CLAIM",
    from: "if record[owner] == asOwner then",
    to: "if false then",
    caughtBy: "claim.same-owner",
  },
  {
    script: "CLAIM",
    from: "takeOverAfterMs and record[leaseEndsAt] + takeOverAfterMs <= now",
    to: "takeOverAfterMs",
    caughtBy: "claim.lease-holds",
  },
  { script: "CLAIM", from: "not mayTakeOver or", to: "", caughtBy: "claim.lapsed" },
  {
    script: "CLAIM",
    from: "or record[fingerprint] ~= asFingerprint then",
    to: "then",
    caughtBy: "claim.lapsed",
  },
  {
    script: "CLAIM",
    from: "record[owner] == asOwner or isOtherWork",
    to: "isOtherWork",
    caughtBy: "claim.released-owner",
  },
  {
    script: "CLAIM",
    from: "record[owner] == asOwner or isOtherWork",
    to: "record[owner] == asOwner",
    caughtBy: "claim.released-checkpoint",
  },
  {
    script: "CLAIM",
    from: "record[checkpoint] and record[fingerprint]",
    to: "record[fingerprint]",
    caughtBy: "claim.released",
  },
  {
    script: "CLAIM",
    from: "math.max((record and record[token] or 0) + 1, us)",
    to: "1",
    caughtBy: "token.purge",
  },
  {
    script: "CLAIM",
    from: "isThere and record[attempt] + 1 or 1",
    to: "1",
    caughtBy: "claim.take-over",
  },
  {
    script: "CLAIM",
    from: "isTakenOver and record[createdAt] or now",
    to: "now",
    caughtBy: "claim.take-over",
  },
  {
    script: "CLAIM",
    from: "isTakenOver = true",
    to: "isTakenOver = false",
    caughtBy: "claim.take-over",
  },
  {
    script: "CLAIM",
    from: "if not isTakenOver and not keptCheckpoint then",
    to: "if true then",
    caughtBy: "claim.take-over",
  },
  {
    script: "RENEW",
    from: FENCE,
    to: "record[token] == tonumber(byToken)",
    caughtBy: "renew.fence",
  },
  { script: "RENEW", from: FENCE, to: "record[owner] == byOwner", caughtBy: "renew.token" },
  { script: "RENEW", from: "record[status] ~= 'claimed' or", to: "", caughtBy: "renew.ended" },
  {
    script: "RENEW",
    from: "given > (record[revision] or -1)",
    to: "true",
    caughtBy: "renew.checkpoint",
  },
  {
    script: "COMPLETE",
    from: FENCE,
    to: "record[token] == tonumber(byToken)",
    caughtBy: "complete.fence",
  },
  { script: "COMPLETE", from: FENCE, to: "record[owner] == byOwner", caughtBy: "complete.token" },
  {
    script: "COMPLETE",
    from: "record[status] == ARGV[3] and record[body] == ARGV[4]",
    to: "true",
    caughtBy: "complete.first-wins",
  },
  {
    script: "COMPLETE",
    from: "record[status] == ARGV[3] and record[body] == ARGV[4]",
    to: "false",
    caughtBy: "complete.repeat",
  },
  {
    script: "COMPLETE",
    from: "if not isOpen(record) then",
    to: "if false then",
    caughtBy: "complete.first-wins",
  },
  {
    script: "COMPLETE",
    from: "ARGV[7] == '1' and isRunning",
    to: "false",
    caughtBy: "complete.if-lapsed",
  },
  {
    script: "COMPLETE",
    from: "record[status] == 'claimed' and record[leaseEndsAt] > now",
    to: "record[leaseEndsAt] > now",
    caughtBy: "complete.if-lapsed",
  },
  {
    script: "COMPLETE",
    from: "math.max(record[expiresAt], now + retentionMs)",
    to: "record[expiresAt]",
    caughtBy: "complete.retention",
  },
  {
    script: "RELEASE",
    from: FENCE,
    to: "record[token] == tonumber(byToken)",
    caughtBy: "release.fence",
  },
  { script: "RELEASE", from: FENCE, to: "record[owner] == byOwner", caughtBy: "release.token" },
  {
    script: "RELEASE",
    from: "if isOpen(record) then\n  record[status]",
    to: "if true then\n  record[status]",
    caughtBy: "release.fence",
  },
  {
    script: "RELEASE",
    from: "ARGV[2], record[status] == 'released')",
    to: "ARGV[2], false)",
    caughtBy: "release.repeat",
  },
  {
    script: "REMOVE",
    from: "or record[token] ~= tonumber(ARGV[1])",
    to: "",
    caughtBy: "remove.token",
  },
];

/** A client whose server has one script otherwise than it was written. */
function breaking(client: Redis, { script, from, to }: Break): RedisClient {
  const whole = { ...scripts }[script];
  expect(whole, "the script has changed: so must this table").toContain(from);
  return {
    options: {},
    evalsha: async () => {
      throw new Error("NOSCRIPT so that each call sends its script");
    },
    eval: (text, keys, ...values) =>
      client.eval(text === whole ? whole.replace(from, () => to) : text, keys, ...values),
    del: (key) => client.del(key),
    getrange: (key, start, end) => client.getrange(key, start, end),
  };
}

describe("each condition of the scripts guards something", () => {
  let client: Redis;
  const undos: (() => Promise<void>)[] = [];
  beforeAll(() => {
    client = redis(inject("redisUrl"), (undo) => undos.unshift(undo));
  });
  afterAll(async () => {
    for (const undo of undos) await undo();
  });

  for (const broken of breaks) {
    const { script, from, to, caughtBy } = broken;
    test(`${script} with «${to}» for «${from}» fails ${caughtBy}`, async () => {
      const clause = clauses.find(({ id }) => id === caughtBy);
      expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
      const store = redisStore(breaking(client, broken));
      const check = clause?.check({
        stores: [store, store],
        elapse: (ms, digests) => elapse(client, ms, digests),
      });
      await expect(check).rejects.toThrow();
    });
  }
});

describe("MARK marks a final outcome of its own claim only", () => {
  const mark = new Script(scripts.MARK);
  const outcome = { status: "succeeded", body: "b" } as const;

  async function markedAfter(
    end: (store: RedisStore, claim: Claim) => Promise<unknown>,
    changed: Partial<Claim> = {},
  ): Promise<boolean> {
    const client = redis(inject("redisUrl"), onTestFinished);
    const prefix = `mark-${randomUUID()}:`;
    const store = redisStore(client, { prefix });
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    await end(store, claim);
    const shown = async () => ({ ...(await store.read([claim.id]))[0], leaseRemainingMs: 0 });
    const before = await shown();
    const { owner, token } = { ...claim, ...changed };
    await mark.run(client, [prefix + claim.id.digest], [owner, String(token)]);
    expect(await shown()).toEqual(before);
    return /^[A-Z]$/.test(await client.getrange(prefix + claim.id.digest, 0, 0));
  }
  const complete = (store: RedisStore, claim: Claim) => store.complete([{ ...claim, ...outcome }]);

  test("a success is marked", async () => {
    expect(await markedAfter(complete)).toBe(true);
  });

  test("each record of a list is fenced by its own claim", async () => {
    const client = redis(inject("redisUrl"), onTestFinished);
    const prefix = `mark-${randomUUID()}:`;
    const store = redisStore(client, { prefix });
    const claims = await claimed(
      store,
      ["a", "b", "c"].map((key) => requestOf(key)),
    );
    await store.complete(claims.map((claim) => ({ ...claim, ...outcome })));
    const [first = "", ...keys] = claims.map(({ id }) => prefix + id.digest);
    const tokens = claims.map(({ token }, index) => (index === 1 ? token + 1 : token));
    const fences = claims.flatMap(({ owner }, index) => [owner, String(tokens[index])]);
    await mark.run(client, [first, ...keys], fences);
    const statuses = [first, ...keys].map((key) => client.getrange(key, 0, 0));
    expect(await Promise.all(statuses)).toEqual(["S", "s", "S"]);
  });

  const cases: readonly (readonly [string, Parameters<typeof markedAfter>])[] = [
    ["of another owner", [complete, { owner: "0".repeat(32) }]],
    ["of another token", [complete, { token: 1 }]],
    ["that is still open", [async () => undefined]],
    [
      "that is unknown",
      [(store, claim) => store.complete([{ ...claim, status: "unknown", body: "" }])],
    ],
    ["that was given back", [(store, claim) => store.release([claim])]],
  ];
  for (const [which, args] of cases) {
    test(`a record ${which} is not marked`, async () => {
      expect(await markedAfter(...args)).toBe(false);
    });
  }
});
