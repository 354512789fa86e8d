import { createEngine } from "@idemkit/engine";
import { claimed, requestOf } from "@idemkit/test-servers";
import type { Redis } from "ioredis";
import { expect, inject, onTestFinished, test } from "vitest";
import { type RedisClient, type RedisStore, redisStore } from "../src/index.ts";
import { redis } from "./clients.ts";

/** A client whose commands come in pairs, and each of a pair gets the result of the other. */
function swapping(client: Redis): RedisClient {
  let first: ((result: unknown) => unknown) | undefined;
  return {
    options: client.options,
    evalsha: async (...args) => {
      const result: unknown = await client.evalsha(...args);
      const other = first;
      if (other === undefined) {
        return await new Promise((resolve) => {
          first = (swapped) => {
            resolve(swapped);
            return result;
          };
        });
      }
      first = undefined;
      return other(result);
    },
    eval: (...args) => client.eval(...args),
    del: (key) => client.del(key),
    getrange: (key, start, end) => client.getrange(key, start, end),
  };
}

const outcomeOf = (key: string) => ({ status: "succeeded", body: `outcome of ${key}` }) as const;
const keys = ["one", "other"] as const;

/** Two claims, and a store that mixes up whatever is asked of it about them. */
async function mixedUp() {
  const client = redis(inject("redisUrl"), onTestFinished);
  const prefix = `mixed-${Math.random().toString(36).slice(2)}:`;
  const store = redisStore(client, { prefix });
  // The server has to know all scripts: one that it does not know is sent past the client that swaps.
  const [known] = await claimed(store, [requestOf("known")]);
  if (known === undefined) throw new Error("expected a claim");
  await store.renew([{ ...known, leaseMs: 60_000 }]);
  await store.complete([{ ...known, ...outcomeOf("known") }]);
  await store.release([known]);
  await store.remove(known.id, known.token);
  await store.read([known.id]);
  const claims = await claimed(
    store,
    keys.map((key) => requestOf(key)),
  );
  const [one, other] = claims;
  if (one === undefined || other === undefined) throw new Error("expected two claims");
  return { store, mixed: redisStore(swapping(client), { prefix }), claims, one, other };
}

const OUT_OF_STEP = "The client returned the result of another command";

test("a replay does not get the outcome of another key", async () => {
  const { store, mixed, claims } = await mixedUp();
  await store.complete(claims.map((claim) => ({ ...claim, ...outcomeOf(claim.id.key) })));
  await expect(mixed.claim(keys.map((key) => requestOf(key)))).rejects.toThrow(OUT_OF_STEP);
});

test("a caller does not get the outcome of another caller", async () => {
  const { store, mixed } = await mixedUp();
  const engine = createEngine({ store });
  const call = (of: typeof engine, key: string) => of.execute("s", key, null, () => key);
  await Promise.all(keys.map((key) => call(engine, key)));
  const over = createEngine({ store: mixed, storeTimeoutMs: 500 });
  const replays = await Promise.allSettled(keys.map((key) => call(over, key)));
  const values = replays.map((each) => (each.status === "fulfilled" ? each.value.value : "none"));
  expect(values).toEqual(["none", "none"]);
});

const asked: readonly (readonly [
  string,
  (on: Awaited<ReturnType<typeof mixedUp>>) => Promise<unknown>,
])[] = [
  ["claims", ({ mixed }) => mixed.claim(["new", "newer"].map((key) => requestOf(key)))],
  ["reads", ({ mixed, claims }) => mixed.read(claims.map(({ id }) => id))],
  [
    "reads, one of them of a record that is absent",
    ({ mixed, one }) => mixed.read([one.id, requestOf("absent").id]),
  ],
  [
    "renewals",
    ({ mixed, claims }) => mixed.renew(claims.map((claim) => ({ ...claim, leaseMs: 1_000 }))),
  ],
  [
    "completions",
    ({ mixed, claims }) => mixed.complete(claims.map((claim) => ({ ...claim, ...outcomeOf("") }))),
  ],
  ["releases", ({ mixed, claims }) => mixed.release(claims)],
  [
    "removals",
    ({ mixed, one, other }) =>
      Promise.all([mixed.remove(one.id, one.token), mixed.remove(other.id, other.token)]),
  ],
  ["a renewal and a completion of one claim", ({ mixed, one }) => both(mixed, one)],
  [
    "a renewal of a claim and one of the claim before it",
    ({ mixed, one }) =>
      mixed.renew([
        { ...one, leaseMs: 1_000 },
        { ...one, token: one.token - 1, leaseMs: 1_000 },
      ]),
  ],
];

function both(store: RedisStore, claim: Parameters<RedisStore["release"]>[0][number]) {
  return Promise.all([
    store.renew([{ ...claim, leaseMs: 1_000 }]),
    store.complete([{ ...claim, ...outcomeOf("") }]),
  ]);
}

for (const [what, ask] of asked) {
  test(`swapped results are refused: ${what}`, async () => {
    await expect(ask(await mixedUp())).rejects.toThrow(OUT_OF_STEP);
  });
}
