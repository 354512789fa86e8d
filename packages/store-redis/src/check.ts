import { type CheckOptions, type Durability, durabilityProblems } from "@idemkit/engine/model";
import { nodesOf, type RedisClient, type RedisNode } from "./client.ts";

export interface CheckReport {
  readonly durability: Durability;
  /** Such as `redis 7.0.15` or `valkey 8.1.1`. */
  readonly serverVersion: string;
  /** Settings of the client that make calls slower or errors later, with advice. */
  readonly warnings: readonly string[];
}

/** It can scan for keys of one type. */
const SERVER_VERSION_MIN = 6;

/** @throws Error that lists what is wrong and what to do */
export async function check(
  client: RedisClient,
  replicasMin: number,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const nodes = await Promise.all((await nodesOf(client)).map((node) => lookAt(node, replicasMin)));
  const problems = new Set(nodes.flatMap((node) => node.problems));
  const isKept = nodes.every((node) => node.isSynced);
  const report: CheckReport = {
    durability: isKept ? "power-loss" : "process-kill",
    serverVersion: nodes[0]?.serverVersion ?? "",
    warnings: warningsAbout(client),
  };
  const advice = "set appendonly to yes, appendfsync to always and no-appendfsync-on-rewrite to no";
  for (const each of durabilityProblems(options, report.durability, advice)) problems.add(each);
  if (problems.size === 0) return report;
  throw new Error(`The Redis server is not fit for idemkit. ${[...problems].join(" ")}`);
}

interface Looked {
  readonly serverVersion: string;
  readonly isSynced: boolean;
  readonly problems: readonly string[];
}

async function lookAt(node: RedisNode, replicasMin: number): Promise<Looked> {
  const server = await node.info("server");
  const memory = await node.info("memory");
  const replication = await node.info("replication");
  const valkey = fieldOf(server, "valkey_version");
  const version = valkey ?? fieldOf(server, "redis_version") ?? "0";
  const problems: string[] = [];
  if (Number.parseInt(version, 10) < SERVER_VERSION_MIN) {
    problems.push(`The server has version ${version}: ${SERVER_VERSION_MIN} or later is needed.`);
  }
  const policy = fieldOf(memory, "maxmemory_policy") ?? "noeviction";
  if (policy !== "noeviction") {
    problems.push(
      `Its maxmemory-policy is ${policy}, which may drop records, and then they run again: ` +
        "set it to noeviction.",
    );
  }
  if (fieldOf(replication, "role") === "slave") {
    problems.push("It is a replica: connect to the primary.");
  }
  const replicas = Number(fieldOf(replication, "connected_slaves") ?? 0);
  if (replicas < replicasMin) {
    problems.push(`It has ${replicas} replicas where replicas: ${replicasMin} was asked for.`);
  }
  const isSynced =
    (await settingOf(node, "appendonly")) === "yes" &&
    (await settingOf(node, "appendfsync")) === "always" &&
    (await settingOf(node, "no-appendfsync-on-rewrite")) === "no";
  return { serverVersion: `${valkey ? "valkey" : "redis"} ${version}`, isSynced, problems };
}

function fieldOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
}

/** Missing where the server does not tell: hosted ones may not. */
async function settingOf(node: RedisNode, name: string): Promise<string | undefined> {
  try {
    const answer = await node.config("GET", name);
    return Array.isArray(answer) ? String(answer[1]) : undefined;
  } catch {
    return undefined;
  }
}

function warningsAbout({ options }: RedisClient): readonly string[] {
  const { enableAutoPipelining, maxRetriesPerRequest } = options as {
    readonly enableAutoPipelining?: boolean;
    readonly maxRetriesPerRequest?: number | null;
  };
  const warnings: string[] = [];
  if (enableAutoPipelining === true) {
    warnings.push("enableAutoPipelining makes calls slower: lists are sent together without it.");
  }
  if (maxRetriesPerRequest === null) {
    warnings.push(
      "maxRetriesPerRequest: null keeps calls waiting for as long as the server is away: only " +
        "storeTimeoutMs ends them.",
    );
  }
  return warnings;
}
