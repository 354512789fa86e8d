import { createHash } from "node:crypto";
import type { RedisClient } from "./client.ts";

/** A script that the server keeps by its hash. */
export class Script {
  readonly #text: string;
  readonly #hash: string;

  constructor(text: string) {
    this.#text = text;
    this.#hash = createHash("sha1").update(text).digest("hex");
  }

  /** Runs it on a key, or on several of one server. A server that has forgotten its scripts, or never had this one, is sent it. */
  async run(
    client: RedisClient,
    keys: readonly [string, ...string[]],
    values: readonly string[],
  ): Promise<unknown> {
    try {
      return await client.evalsha(this.#hash, keys.length, ...keys, ...values);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return await client.eval(this.#text, keys.length, ...keys, ...values);
    }
  }
}
