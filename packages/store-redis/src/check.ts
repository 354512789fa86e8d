import { setTimeout as sleep } from "node:timers/promises";
import type { Store } from "@idemkit/engine";
import {
  type CheckOptions,
  type Durability,
  durabilityProblems,
  trialProblem,
} from "@idemkit/engine/model";
import { nodesOf, type RedisClient, type RedisNode } from "./client.ts";

export interface CheckReport {
  readonly durability: Durability;
  /** Such as `redis 7.0.15` or `valkey 8.1.1`. */
  readonly serverVersion: string;
  /**
   * Sentences with advice: settings of the client that make calls slower or errors later, and replicas that a
   * failover could promote although nothing waits for them.
   */
  readonly warnings: readonly string[];
}

/** It can scan for keys of one type. */
const SERVER_VERSION_MIN = 6;

/** A client without a server would wait, and connect again, for ever. */
const ANSWER_MS_MAX = 5_000;

const FAILOVER_WARNING =
  "The server has replicas, and replicas: 0 waits for none of them: a failover may lose acknowledged outcomes " +
  "and claims, whatever the durability. Set replicas and waitClient (not on a Cluster), or use a database.";

export interface Checked {
  readonly client: RedisClient;
  readonly store: Store;
  readonly prefix: string;
  readonly replicasMin: number;
}

/** @throws Error that lists what is wrong and what to do */
export async function check(checked: Checked, options: CheckOptions = {}): Promise<CheckReport> {
  const late = new AbortController();
  const answered = lookAtAll(checked, options);
  const waited = sleep(ANSWER_MS_MAX, undefined, { signal: late.signal, ref: false });
  try {
    const report = await Promise.race([answered, waited]);
    if (report !== undefined) return report;
  } finally {
    late.abort();
    waited.catch(() => undefined);
    answered.catch(() => undefined);
  }
  const { status } = checked.client as { readonly status?: string };
  throw new Error(
    `Redis has not answered within ${ANSWER_MS_MAX} ms; the client is '${status}'. Is its URL right, and ` +
      "the server up? The client's 'error' events say more.",
  );
}

async function lookAtAll(
  { client, store, prefix, replicasMin }: Checked,
  options: CheckOptions,
): Promise<CheckReport> {
  const nodes = await Promise.all((await nodesOf(client)).map((node) => lookAt(node, replicasMin)));
  const problems = new Set(nodes.flatMap((node) => node.problems));
  const isKept = nodes.every((node) => node.isSynced);
  const report: CheckReport = {
    durability: isKept ? "power-loss" : "process-kill",
    serverVersion: nodes[0]?.serverVersion ?? "",
    warnings: [...warningsAbout(client), ...new Set(nodes.flatMap((node) => node.warnings))],
  };
  const advice = "set appendonly to yes, appendfsync to always and no-appendfsync-on-rewrite to no";
  for (const each of durabilityProblems(options, report.durability, advice)) problems.add(each);
  if (problems.size === 0) {
    for (const each of await trialProblems(client, store, prefix)) problems.add(each);
  }
  if (problems.size === 0) return report;
  throw new Error(`The Redis server is not fit for idemkit. ${[...problems].join(" ")}`);
}

/** What is wrong with a claim on trial. */
async function trialProblems(
  client: RedisClient,
  store: Store,
  prefix: string,
): Promise<readonly string[]> {
  try {
    const problem = await trialProblem(store, (digest) => client.del(prefix + digest));
    return problem === undefined ? [] : [problem];
  } catch (error) {
    return [`A claim on trial failed: ${(error as Error).message}.`];
  }
}

interface Looked {
  readonly serverVersion: string;
  readonly isSynced: boolean;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
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
  const warnings = replicas > 0 && replicasMin === 0 ? [FAILOVER_WARNING] : [];
  const isSynced =
    (await settingOf(node, "appendonly")) === "yes" &&
    (await settingOf(node, "appendfsync")) === "always" &&
    (await settingOf(node, "no-appendfsync-on-rewrite")) === "no";
  return {
    serverVersion: `${valkey ? "valkey" : "redis"} ${version}`,
    isSynced,
    problems,
    warnings,
  };
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
