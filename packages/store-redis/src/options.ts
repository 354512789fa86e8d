export interface RedisStoreOptions {
  /** What the names of all keys begin with. Default: `idemkit:`. */
  readonly prefix?: string;
  /**
   * How many replicas have to have a claim or an outcome before it counts, so that a failover to one of
   * them does not forget it. Each claim and completion then takes a second round trip, and fails where
   * they do not answer in time. On a single primary only, not on a `Cluster`. Default: 0.
   */
  readonly replicas?: number;
  /** How long the replicas are waited for, in milliseconds, 1 to 60,000. Default: 1,000. */
  readonly replicaTimeoutMs?: number;
}

const PREFIX_LENGTH_MAX = 100;
const REPLICAS_MAX = 100;
const TIMEOUT_MS_MAX = 60_000;

/** @throws TypeError that says what was expected */
export function optionsOf(options: RedisStoreOptions): Required<RedisStoreOptions> {
  const { prefix = "idemkit:", replicas = 0, replicaTimeoutMs = 1_000, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(
      `${unknown}: no such option. Expected prefix, replicas or replicaTimeoutMs.`,
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
  return { prefix, replicas, replicaTimeoutMs };
}

function checkNumber(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new TypeError(`${name}: expected a whole number from ${least} to ${most}.`);
}
