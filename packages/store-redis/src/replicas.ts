import type { RedisClient } from "./client.ts";

/** A single primary, as far as it is needed to wait for its replicas. */
interface Primary {
  wait(replicas: number, timeoutMs: number): Promise<unknown>;
  on(name: "close", listener: () => void): unknown;
}

/**
 * Waits until enough replicas have what was written before, on the same connection.
 * https://redis.io/docs/latest/commands/wait/
 */
export class Replicas {
  readonly #primary: Primary;
  /** How many have to have it. */
  readonly count: number;
  readonly #timeoutMs: number;
  #closed = 0;

  /** @throws TypeError where the client is a cluster: it would ask any of its servers */
  constructor(client: RedisClient, count: number, timeoutMs: number) {
    if (count > 0 && (!("wait" in client) || "nodes" in client)) {
      throw new TypeError(
        "replicas: expected 0 for a Cluster: only a single primary can be asked.",
      );
    }
    this.#primary = client as RedisClient & Primary;
    this.count = count;
    this.#timeoutMs = timeoutMs;
    if (count === 0) return;
    this.#primary.on("close", () => {
      this.#closed += 1;
    });
  }

  /** @throws Error where too few of them have it: whether it survives a failover is not known then */
  async after<T>(work: () => Promise<T>): Promise<T> {
    if (this.count === 0) return await work();
    const closedBefore = this.#closed;
    const result = await work();
    const heard = Number(await this.#primary.wait(this.count, this.#timeoutMs));
    // Another connection has written nothing, and its replicas have heard all of that.
    if (this.#closed !== closedBefore) {
      throw new Error("The connection to Redis was lost before its replicas had what was written.");
    }
    if (heard >= this.count) return result;
    throw new Error(
      `${heard} of ${this.count} replicas had what was written within ${this.#timeoutMs} ms.`,
    );
  }
}
