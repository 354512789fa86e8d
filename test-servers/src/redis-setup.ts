import type { TestProject } from "vitest/node";
import { startRedis, startRedisCluster } from "./redis.ts";

declare module "vitest" {
  interface ProvidedContext {
    redisUrl: string;
    redisClusterUrls: readonly string[];
  }
}

/** Vitest's global set-up of the projects that test on Redis: a single server, and a cluster. */
export default async function setup({ name, provide }: TestProject): Promise<() => Promise<void>> {
  const single = await startRedis();
  const nodes = await startRedisCluster();
  process.stdout.write(
    `${name} runs on ${single.version}, and on a cluster of ${nodes.length} × ${nodes[0]?.version}.\n`,
  );
  provide("redisUrl", single.url);
  provide(
    "redisClusterUrls",
    nodes.map(({ url }) => url),
  );
  return async () => {
    await Promise.all([single, ...nodes].map((server) => server.stop()));
  };
}
