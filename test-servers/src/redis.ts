import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { find, launch, type TestServer } from "./local-server.ts";

/** What a server is started with where it is to differ from what most tests need. */
interface RedisOptions {
  readonly settings?: Readonly<Record<string, string>>;
}

const SETTINGS = { save: "", appendonly: "no" };
const SENTINEL_FILE = "sentinel.conf";
const CLUSTER_NODES = 3;
const SLOTS = 16_384;
const CLUSTER_READY_TRIES_MAX = 200;
const CLUSTER_READY_PAUSE_MS = 50;

/** The Redis of IDEMKIT_TEST_REDIS_URL, or one of this machine's own. */
export async function startRedis({ settings }: RedisOptions = {}): Promise<TestServer> {
  const given = process.env.IDEMKIT_TEST_REDIS_URL;
  if (given !== undefined && settings === undefined) {
    return { url: given, version: await versionOf(given), stop: async () => undefined };
  }
  const all = Object.entries({ ...SETTINGS, ...settings });
  return await launch({
    file: serverFile(),
    args: (folder, port) => [
      ...["--bind", "127.0.0.1", "--port", String(port), "--dir", folder],
      ...all.flatMap(([name, value]) => [`--${name}`, value]),
    ],
    url: (port) => `redis://127.0.0.1:${port}`,
    ask: versionOf,
  });
}

/** The name under which a sentinel of {@link startRedisSentinel} knows its primary. */
export const SENTINEL_GROUP = "tests";

/**
 * A sentinel that promotes a replica once the primary has not responded for half a second. It is alone, and so
 * is its vote.
 */
export async function startRedisSentinel(primaryUrl: string): Promise<TestServer> {
  const { hostname, port: primaryPort } = new URL(primaryUrl);
  const settings = [
    `sentinel monitor ${SENTINEL_GROUP} ${hostname} ${primaryPort} 1`,
    `sentinel down-after-milliseconds ${SENTINEL_GROUP} 500`,
    `sentinel failover-timeout ${SENTINEL_GROUP} 3000`,
  ];
  return await launch({
    file: serverFile(),
    prepare: (folder) => {
      const file = join(folder, SENTINEL_FILE);
      writeFileSync(file, settings.join("\n"));
      // It keeps its state there, as another user than this one.
      chmodSync(file, 0o666);
    },
    args: (folder, port) => [
      ...[join(folder, SENTINEL_FILE), "--sentinel", "--bind", "127.0.0.1"],
      ...["--port", String(port), "--dir", folder],
    ],
    url: (port) => `redis://127.0.0.1:${port}`,
    ask: versionOf,
  });
}

/** A cluster of three servers, each with a third of the slots. */
export async function startRedisCluster(): Promise<readonly TestServer[]> {
  const servers = await Promise.all(
    Array.from({ length: CLUSTER_NODES }, () =>
      startRedis({ settings: { "cluster-enabled": "yes", "cluster-node-timeout": "2000" } }),
    ),
  );
  const nodes = servers.map(({ url }) => new Redis(url));
  const [first] = nodes;
  for (const [index, node] of nodes.entries()) {
    const from = Math.floor((index * SLOTS) / CLUSTER_NODES);
    const to = Math.floor(((index + 1) * SLOTS) / CLUSTER_NODES) - 1;
    await node.call("CLUSTER", "ADDSLOTSRANGE", from, to);
    const { port } = new URL(servers[index]?.url ?? "");
    if (index > 0) await first?.call("CLUSTER", "MEET", "127.0.0.1", port);
  }
  for (let tried = 0; tried < CLUSTER_READY_TRIES_MAX; tried += 1) {
    const infos = await Promise.all(nodes.map((node) => node.call("CLUSTER", "INFO")));
    const isReady = (info: unknown) =>
      ["cluster_state:ok", "cluster_known_nodes:3"].every((line) => String(info).includes(line));
    if (infos.every(isReady)) {
      for (const node of nodes) node.disconnect();
      return servers;
    }
    await sleep(CLUSTER_READY_PAUSE_MS);
  }
  throw new Error("The nodes did not become a cluster.");
}

function serverFile(): string {
  const file = find("redis-server", ["/usr/bin"]) ?? find("valkey-server", ["/usr/bin"]);
  if (file !== undefined) return file;
  throw new Error(
    "The tests need a Redis or Valkey server: run scripts/install-test-servers, put " +
      "`redis-server` or `valkey-server` on PATH, or set IDEMKIT_TEST_REDIS_URL.",
  );
}

async function versionOf(url: string): Promise<string> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on("error", () => undefined);
  try {
    await client.connect();
    const info = await client.info("server");
    const version = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
    const valkey = version("valkey_version");
    return valkey === undefined ? `Redis ${version("redis_version")}` : `Valkey ${valkey}`;
  } finally {
    client.disconnect();
  }
}
