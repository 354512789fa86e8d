import { redisStore } from "@idemkit/store-redis";
import { Redis } from "ioredis";
import {
  execute,
  filled,
  floorHash,
  REPLAYED_KEYS,
  RESULT,
  RESULT_TEXT,
  type Subjects,
} from "./subject.ts";

/** An empty server: that in IDEMKIT_BENCH_SERVER_URL. */
async function onServer() {
  const client = new Redis(process.env.IDEMKIT_BENCH_SERVER_URL ?? "");
  await client.flushall();
  return { client, close: () => client.disconnect() };
}

const DAY_MS = 86_400_000;

export const redisSubjects: Subjects = {
  // What a careful engineer writes by hand: one claim, one completion, no fence.
  "redis fresh floor": async () => {
    const { client, close } = await onServer();
    const run = async (number: number) => {
      const key = `key-${number}`;
      const claim = JSON.stringify({ hash: floorHash(), state: 0 });
      const before = await client.set(key, claim, "PX", DAY_MS, "NX", "GET");
      if (before !== null) throw new Error("claimed already");
      const result = await Promise.resolve(RESULT);
      await client.set(
        key,
        JSON.stringify({ hash: floorHash(), state: 1, result }),
        "PX",
        DAY_MS,
        "XX",
      );
    };
    return { run, close };
  },

  "redis fresh idemkit": async () => {
    const { client, close } = await onServer();
    const run = execute(redisStore(client));
    return { run: (number) => run(`key-${number}`), close };
  },

  "redis replay floor": async () => {
    const { client, close } = await onServer();
    for (let number = 0; number < REPLAYED_KEYS; number += 1) {
      const record = { hash: floorHash(), state: 1, body: RESULT_TEXT };
      await client.set(`key-${number}`, JSON.stringify(record));
    }
    const run = async (number: number) => {
      const text = await client.get(`key-${number % REPLAYED_KEYS}`);
      const record = JSON.parse(text ?? "{}") as { readonly hash: string; readonly body: string };
      if (record.hash !== floorHash()) throw new Error("conflict");
      return JSON.parse(record.body) as unknown;
    };
    return { run, close };
  },

  "redis replay idemkit": async () => {
    const { client, close } = await onServer();
    return { run: await filled(execute(redisStore(client))), close };
  },
};
