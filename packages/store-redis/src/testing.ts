import type { RedisClient } from "./client.ts";
import { optionsOf, type RedisStoreOptions } from "./options.ts";
import { Script } from "./script.ts";
import { ELAPSE } from "./scripts.ts";

const script = new Script(ELAPSE);

/**
 * Lets time pass for the records of a test, without waiting for it: every stored time moves back.
 *
 * @param ms milliseconds
 * @param digests of these records
 */
export async function elapse(
  client: RedisClient,
  ms: number,
  digests: readonly string[],
  options: RedisStoreOptions = {},
): Promise<void> {
  const { prefix } = optionsOf(options);
  await Promise.all(digests.map((digest) => script.run(client, [prefix + digest], [String(ms)])));
}
