import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { type Claim, memoryStore, type RecordView, type Store } from "@idemkit/engine";
import { type Bench, clause, newOwner } from "../bench.ts";

const OPERATIONS = 400;
const RECORDS = 3;
const OWNERS = 3;
/** All durations are multiples of this, so that the seconds a run takes change no answer. */
const UNIT_MS = 100_000;

/** A small seeded generator (mulberry32): the same seed repeats the same history. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Answers without what may differ between two clocks: times, and tokens but for their order. */
function comparable(answer: unknown): unknown {
  const isTime = (name: string) => /(At|Ms)$/.test(name) || name === "token";
  return JSON.parse(
    JSON.stringify(answer ?? null, (name, value) => (isTime(name) ? undefined : value)),
  );
}

type Act = (store: Store) => Promise<unknown>;

/** Draws one operation, to be applied to both stores. Owners come back, as delayed messages do. */
function draw(pick: (below: number) => number, ids: readonly RecordView["id"][], owners: string[]) {
  const id = ids[pick(ids.length)] as RecordView["id"];
  const owner = owners[pick(owners.length)] as string;
  const claim = { id, owner };
  // Mostly with the present token: tokens follow the clock, and differ from store to store.
  const claimIn = async (store: Store): Promise<Claim> => {
    const [view] = await store.read([id]);
    return { ...claim, token: (view?.token ?? 2) - (pick(4) === 0 ? 1 : 0) };
  };
  const acts: readonly (readonly [string, Act])[] = [
    [
      "claim",
      (store) =>
        store.claim([
          {
            ...claim,
            fingerprint: `fingerprint ${pick(2)}`,
            leaseMs: UNIT_MS,
            retentionMs: 4 * UNIT_MS,
            takeOver: pick(2) === 0,
            ...(pick(3) === 0 && { takeOverAfterMs: pick(3) * UNIT_MS }),
            ...(pick(3) === 0 && { checkpoint: "begun" }),
          },
        ]),
    ],
    [
      "renew",
      async (store) =>
        store.renew([
          {
            ...(await claimIn(store)),
            ...(pick(4) > 0 && { leaseMs: (1 + pick(2)) * UNIT_MS }),
            ...(pick(2) === 0 && { checkpoint: { revision: pick(4), value: `at ${pick(9)}` } }),
          },
        ]),
    ],
    [
      "complete",
      async (store) =>
        store.complete([
          {
            ...(await claimIn(store)),
            status: (["succeeded", "failed", "unknown"] as const)[pick(3)] ?? "failed",
            body: `body ${pick(2)}`,
            ...(pick(2) === 0 && { retentionMs: 6 * UNIT_MS }),
            ...(pick(2) === 0 && { note: "note" }),
            ...(pick(3) === 0 && { ifLapsed: true }),
          },
        ]),
    ],
    ["release", async (store) => store.release([await claimIn(store)])],
    ["read", (store) => store.read([id])],
    [
      "remove",
      async (store) => {
        const [view] = await store.read([id]);
        return store.remove(id, (view?.token ?? 1) - pick(2));
      },
    ],
    ["purge", (store) => store.purge(1_000).then(() => "purged")],
  ];
  return acts[pick(acts.length)] as readonly [string, Act];
}

/**
 * Applies an act to both stores with the same choices: the generator is wound back in between.
 */
async function check(bench: Bench, seed: number): Promise<void> {
  let nowMs = 0;
  const model = memoryStore({ clock: () => nowMs });
  nowMs = Date.now();
  const ids = Array.from({ length: RECORDS }, () => bench.newId());
  const owners = Array.from({ length: OWNERS }, newOwner);
  const history: string[] = [];
  for (let step = 0; step < OPERATIONS; step += 1) {
    const pick = generator(seed * OPERATIONS + step);
    if (pick(8) === 0) {
      nowMs += UNIT_MS;
      await bench.elapse(UNIT_MS);
      history.push("elapse");
      continue;
    }
    // Sometimes an owner is gone for good and a new one comes.
    if (pick(6) === 0) owners[pick(OWNERS)] = newOwner();
    const choices = seed * OPERATIONS + step + 1e9;
    const [name, act] = draw(generator(choices), ids, owners);
    const [, sameAct] = draw(generator(choices), ids, owners);
    const expected = comparable(await act(model));
    const actual = comparable(await sameAct(bench.handle(step)));
    history.push(`${name} → ${JSON.stringify(expected)}`);
    assert.deepEqual(
      actual,
      expected,
      `SEED=${seed}, operation ${step}: the store answered otherwise than the model.\n` +
        `${history.slice(-12).join("\n")}\nbut the store: ${JSON.stringify(actual)}`,
    );
  }
  const views = comparable(await bench.first.read(ids));
  assert.deepEqual(views, comparable(await model.read(ids)), `SEED=${seed}: at the end`);
}

export const modelClauses = [
  clause(
    "model",
    "a random history is answered as by the reference model (SEED=n repeats it)",
    async (bench) => {
      const given = Number(process.env.SEED);
      const seed = Number.isSafeInteger(given) && given > 0 ? given : randomInt(1, 1_000_000);
      await check(bench, seed);
    },
  ),
];
