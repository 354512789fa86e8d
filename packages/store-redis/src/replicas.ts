/**
 * A second client of the primary, for `WAIT` alone: a `Redis` of ioredis, such as `client.duplicate()`. It
 * stays the user's: it is never closed here.
 */
export interface RedisWaitClient {
  psetex(key: string, ms: number, value: string): Promise<unknown>;
  wait(replicas: number, timeoutMs: number): Promise<unknown>;
  info(section: string): Promise<string>;
  on(name: "close", listener: () => void): unknown;
}

/** For how long the marker stays, which nothing ever reads. */
const MARKER_MS = 60_000;
/** For how long a connection may take beyond the time of its WAIT. */
const ANSWER_MS_MAX = 1_000;

/**
 * Waits until enough replicas have everything that was written before.
 *
 * WAIT blocks the connection that it is sent on, so it has a connection of its own. It covers the writes of
 * that connection only, and acknowledges nothing on one that has written nothing. So each WAIT stands behind
 * a marker that is written on the same connection. A primary sends one ordered history to its replicas: a
 * replica that has the marker has everything that was written to that history before.
 * https://redis.io/docs/latest/commands/wait/
 *
 * One WAIT is in flight at a time, and calls that come meanwhile share the next one.
 */
export class Replicas {
  /** How many have to confirm. */
  readonly count: number;
  readonly #client: RedisWaitClient;
  readonly #timeoutMs: number;
  readonly #marker: string;
  #closes = 0;
  /** Settles when the commands in flight have. */
  #settled: Promise<unknown> = Promise.resolve();
  /** The WAIT after the one in flight. */
  #next: Promise<string> | undefined;
  /** Why the last WAIT failed. */
  #failure: Error | undefined;
  /** Until when that says that the replicas are away, on the monotonic clock. */
  #awayUntilMs = 0;

  constructor(client: RedisWaitClient, count: number, timeoutMs: number, prefix: string) {
    this.#client = client;
    this.count = count;
    this.#timeoutMs = timeoutMs;
    this.#marker = `${prefix}wait`;
    client.on("close", () => {
      this.#closes += 1;
    });
  }

  /**
   * Waits until enough replicas have everything that was written to these histories before, for at most two
   * WAITs.
   *
   * @param patience how many timeouts it waits while the replicas are known to be away: the last WAIT has
   *   failed, and that no longer ago than one timeout
   * @throws Error if too few of them confirm: whether the writes survive a failover is unknown then
   */
  async confirm(histories: readonly string[], patience = Number.POSITIVE_INFINITY): Promise<void> {
    if (histories.length === 0) return;
    const isAway = performance.now() < this.#awayUntilMs;
    const bothMs = 2 * this.#timeoutMs + ANSWER_MS_MAX;
    const waitMs = isAway ? Math.min(patience * this.#timeoutMs, bothMs) : bothMs;
    const confirmed = await this.#within(waitMs);
    if (histories.every((history) => history === confirmed)) return;
    throw new Error(
      "The replicas have confirmed the history of another primary than the one that was written to: " +
        "there was a failover, or waitClient is not connected to the primary of client.",
    );
  }

  #within(ms: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(this.#failure ?? this.#failed(new Error(`waitClient was silent for ${ms} ms.`)));
      }, ms);
      this.#shared()
        .finally(() => clearTimeout(timer))
        .then(resolve, reject);
    });
  }

  #failed(error: unknown): Error {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#awayUntilMs = performance.now() + this.#timeoutMs;
    return this.#failure;
  }

  #shared(): Promise<string> {
    this.#next ??= this.#settled.then(() => {
      this.#next = undefined;
      const asked = this.#ask();
      this.#settled = asked.catch(() => undefined);
      return asked;
    });
    return this.#next;
  }

  /** The history that enough replicas have. */
  async #ask(): Promise<string> {
    const closesBefore = this.#closes;
    try {
      const [, heard, replication] = await Promise.all([
        this.#client.psetex(this.#marker, MARKER_MS, ""),
        this.#client.wait(this.count, this.#timeoutMs),
        this.#client.info("replication"),
      ]);
      // The client repeats a command on a new connection, which has not written the marker.
      if (this.#closes !== closesBefore) {
        throw new Error("The connection of waitClient was lost before the replicas confirmed.");
      }
      if (Number(heard) < this.count) {
        const inTime = `within ${this.#timeoutMs} ms`;
        throw new Error(`${heard} of ${this.count} replicas confirmed the write ${inTime}.`);
      }
      this.#failure = undefined;
      this.#awayUntilMs = 0;
      return /^master_replid:(\w+)/m.exec(replication)?.[1] ?? "";
    } catch (error) {
      throw this.#failed(error);
    }
  }
}
