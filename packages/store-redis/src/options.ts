import type { RedisClient } from "./client.ts";
import { type RedisWaitClient, Replicas } from "./replicas.ts";

export interface RedisStoreOptions {
  /** What the names of all keys begin with. Default: `idemkit:`. */
  readonly prefix?: string;
  /**
   * How many replicas have to have a claim, a step or an outcome before it counts, so that a failover to one
   * of them does not forget it. Each claim and completion then takes a second round trip, and fails if too
   * few of them confirm it in time. On a single primary only, not on a `Cluster`. From 0 to 100. Default: 0.
   */
  readonly replicas?: number;
  /**
   * The client that waits for the replicas; `replicas` needs it. `WAIT` blocks the connection that it is
   * sent on, so this has to be a second client, connected to the same primary, for this store alone:
   * `client.duplicate()`. It stays the user's: it is never closed here. Default: none.
   */
  readonly waitClient?: RedisWaitClient;
  /**
   * How long a `WAIT` waits for the replicas, in milliseconds, 1 to 60,000. A call waits for two of them at
   * most. While the last one has failed, new claims fail at once and replays wait for a tenth. Default: 1,000.
   */
  readonly replicaTimeoutMs?: number;
}

const PREFIX_LENGTH_MAX = 100;
const REPLICAS_MAX = 100;
const TIMEOUT_MS_MAX = 60_000;

export interface CheckedOptions {
  readonly prefix: string;
  readonly replicas: number;
  readonly replicaTimeoutMs: number;
  readonly waitClient: RedisWaitClient | undefined;
}

/** @throws TypeError that says what was expected */
export function optionsOf(options: RedisStoreOptions): CheckedOptions {
  const { prefix = "idemkit:", replicas = 0, replicaTimeoutMs = 1_000, ...rest } = options;
  const { waitClient, ...others } = rest;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(
      `${unknown}: no such option. Expected prefix, replicas, waitClient or replicaTimeoutMs.`,
    );
  }
  // Braces would put all records of a cluster into one slot, and the rest means something to a scan.
  const isPlain = typeof prefix === "string" && /^[\w:.-]+$/.test(prefix);
  if (!isPlain || prefix.length > PREFIX_LENGTH_MAX) {
    throw new TypeError(
      `prefix: expected 1 to ${PREFIX_LENGTH_MAX} letters, digits, colons, dots, dashes and underscores.`,
    );
  }
  checkNumber("replicas", replicas, 0, REPLICAS_MAX);
  checkNumber("replicaTimeoutMs", replicaTimeoutMs, 1, TIMEOUT_MS_MAX);
  return { prefix, replicas, replicaTimeoutMs, waitClient };
}

/**
 * The replicas that have to confirm writes through a client, if any have to.
 *
 * @throws TypeError if the clients cannot ask them
 */
export function replicasOf(client: RedisClient, options: CheckedOptions): Replicas | undefined {
  const { prefix, replicas, replicaTimeoutMs, waitClient } = options;
  if (replicas === 0) return undefined;
  if ("nodes" in client) {
    throw new TypeError("replicas: expected 0 for a Cluster: only a single primary can be asked.");
  }
  const isSecond = typeof waitClient?.wait === "function" && !("nodes" in waitClient);
  if (!isSecond || (waitClient as unknown) === client) {
    throw new TypeError(
      "waitClient: expected a second Redis of ioredis on the same primary, such as client.duplicate(), as " +
        "WAIT blocks the connection that it is sent on.",
    );
  }
  return new Replicas(waitClient, replicas, replicaTimeoutMs, prefix);
}

function checkNumber(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new TypeError(`${name}: expected a whole number from ${least} to ${most}.`);
}
