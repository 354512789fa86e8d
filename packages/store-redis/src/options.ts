export interface RedisStoreOptions {
  /** What the names of all keys begin with. Default: `idemkit:`. */
  readonly prefix?: string;
}

const PREFIX_LENGTH_MAX = 100;

/** @throws TypeError that says what was expected */
export function prefixOf({ prefix = "idemkit:", ...others }: RedisStoreOptions): string {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new TypeError(`${unknown}: no such option. Expected prefix.`);
  // Braces would put all records of a cluster into one slot, and the rest means something to a scan.
  const isPlain = typeof prefix === "string" && /^[\w:.-]+$/.test(prefix);
  if (isPlain && prefix.length <= PREFIX_LENGTH_MAX) return prefix;
  throw new TypeError(
    `prefix: expected 1 to ${PREFIX_LENGTH_MAX} letters, digits, colons, dots, dashes and underscores.`,
  );
}
