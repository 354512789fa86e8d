import type { OpenState } from "@idemkit/engine";
import { keyPrefixOf, nodesOf, type RedisClient } from "./client.ts";
import { DIGEST_LENGTH, HEADER_LENGTH } from "./prelude.ts";

const KEYS_PER_STEP = 1_000;

/**
 * The digests of records that are in a state, in order, from after one of them on. It goes through all
 * keys, node by node, and reads no more of a record than its header.
 */
export async function openDigests(
  client: RedisClient,
  prefix: string,
  state: OpenState,
  after: string,
  limit: number,
): Promise<readonly string[]> {
  const outer = keyPrefixOf(client);
  const pattern = `${escaped(outer)}${prefix}${"?".repeat(DIGEST_LENGTH)}`;
  // A scan may show a key twice.
  let found: readonly string[] = [];
  for (const node of await nodesOf(client)) {
    const [seconds, us] = await node.time();
    const nowMs = Number(seconds) * 1_000 + Number(us) / 1_000;
    let cursor = "0";
    do {
      const match = ["MATCH", pattern, "COUNT", KEYS_PER_STEP, "TYPE", "string"] as const;
      const [next, keys] = await node.scan(cursor, ...match);
      const digests = keys
        .map((key) => key.slice(-DIGEST_LENGTH))
        .filter((each) => each > after && /^[0-9a-f]+$/.test(each));
      const headers = await Promise.all(
        digests.map((digest) => client.getrange(prefix + digest, 0, HEADER_LENGTH - 1)),
      );
      const open = digests.filter((_, index) => isIn(state, headers[index] ?? "", nowMs));
      found = [...new Set([...found, ...open])].sort().slice(0, limit);
      cursor = next;
    } while (cursor !== "0");
  }
  return found;
}

function isIn(state: OpenState, header: string, nowMs: number): boolean {
  if (state === "unknown") return header.startsWith("u");
  const isLapsed = Number(header.slice(1)) <= nowMs;
  return header.startsWith("c") && isLapsed === (state === "lapsed");
}

function escaped(text: string): string {
  return text.replaceAll(/[*?[\]\\^]/g, "\\$&");
}
