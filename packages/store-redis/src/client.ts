/** A server that holds records. */
export interface RedisNode {
  scan(
    cursor: string,
    match: "MATCH",
    pattern: string,
    count: "COUNT",
    number: number,
    type: "TYPE",
    name: "string",
  ): Promise<readonly [string, readonly string[]]>;
  time(): Promise<readonly (string | number)[]>;
  info(section: string): Promise<string>;
  config(get: "GET", name: string): Promise<unknown>;
}

/**
 * What a store can run on: a `Redis` or a `Cluster` of ioredis. It stays the user's: it is never closed
 * here.
 */
export interface RedisClient {
  evalsha(hash: string, keys: number, ...keysAndValues: string[]): Promise<unknown>;
  eval(script: string, keys: number, ...keysAndValues: string[]): Promise<unknown>;
  del(key: string): Promise<unknown>;
  getrange(key: string, start: number, end: number): Promise<string>;
  readonly options: object;
}

interface ClusterClient extends RedisClient {
  nodes(role: "master"): readonly RedisNode[];
  cluster(subcommand: "INFO"): Promise<unknown>;
}

/** @throws TypeError where it is something else */
export function checkClient(client: RedisClient): void {
  const isClient =
    typeof client === "object" &&
    client !== null &&
    typeof client.evalsha === "function" &&
    typeof client.getrange === "function";
  if (isClient) return;
  const got = client === null ? "null" : `a value of type ${typeof client}`;
  throw new TypeError(`client: expected a Redis or a Cluster of ioredis, got ${got}.`);
}

/**
 * The servers that hold records.
 *
 * @throws Error where some slots of a cluster have no server: what the others have would look like all
 *   there is
 */
export async function nodesOf(client: RedisClient): Promise<readonly RedisNode[]> {
  if (!("nodes" in client)) return [client as RedisClient & RedisNode];
  const cluster = client as ClusterClient;
  // A command waits for the connection; before it, a cluster knows no nodes.
  const info = String(await cluster.cluster("INFO"));
  const nodes = cluster.nodes("master");
  const isWhole = /^cluster_slots_ok:16384\r?$/m.test(info);
  if (nodes.length > 0 && isWhole) return nodes;
  throw new Error("Some slots of the Redis cluster have no server that answers for them.");
}

/** What the client puts before every key by itself, but not into the pattern of a scan. */
export function keyPrefixOf({ options }: RedisClient): string {
  const { keyPrefix, redisOptions } = options as {
    readonly keyPrefix?: string;
    readonly redisOptions?: { readonly keyPrefix?: string };
  };
  return keyPrefix ?? redisOptions?.keyPrefix ?? "";
}
