import { Cluster, Redis } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis-5";
import type { RedisClient } from "../src/index.ts";

/** Where to leave what has to be undone: `onTestFinished`, or `afterAll` for a whole group. */
export type CleanUp = (undo: () => Promise<void>) => void;

function kept<
  Client extends { disconnect(): void; on(name: "error", listener: () => void): unknown },
>(client: Client, cleanUp: CleanUp): Client {
  client.on("error", () => undefined);
  cleanUp(async () => client.disconnect());
  return client;
}

/** A client that ends with its user. */
export function redis(url: string, cleanUp: CleanUp): Redis {
  return kept(new Redis(url), cleanUp);
}

/** Every kind of client, for a single server or the nodes of a cluster. */
export const clients = {
  "ioredis 6": ([url = ""], cleanUp) => redis(url, cleanUp),
  "ioredis 5": ([url = ""], cleanUp) => kept(new Redis5(url), cleanUp),
  "a Cluster of ioredis 6": (urls, cleanUp) => kept(new Cluster([...urls]), cleanUp),
  "a Cluster of ioredis 5": (urls, cleanUp) => kept(new Cluster5([...urls]), cleanUp),
} satisfies Readonly<Record<string, (urls: readonly string[], cleanUp: CleanUp) => RedisClient>>;

export type ClientName = keyof typeof clients;
