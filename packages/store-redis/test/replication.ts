import { startRedis, type TestServer } from "@idemkit/test-servers";
import type { Redis } from "ioredis";
import { expect, vi } from "vitest";
import { type RedisStore, type RedisStoreOptions, redisStore } from "../src/index.ts";
import { type CleanUp, redis } from "./clients.ts";

/** Longer than any test: a call that waits for a replica which is stopped makes its test fail. */
export const FOR_EVER_MS = 60_000;

/** A server of a test, with a client for the test's own questions. */
export interface Node {
  readonly server: TestServer;
  readonly client: Redis;
  /** Stops its process, as a machine does that swaps: its connections stay open. */
  pause(): Promise<void>;
  resume(): void;
}

async function startNode(
  cleanUp: CleanUp,
  settings: Readonly<Record<string, string>> = {},
): Promise<Node> {
  const server = await startRedis({ settings: { "repl-diskless-sync-delay": "0", ...settings } });
  cleanUp(() => server.stop());
  const client = redis(server.url, cleanUp);
  const pid = Number(/^process_id:(\d+)/m.exec(await client.info("server"))?.[1]);
  return {
    server,
    client,
    pause: async () => {
      process.kill(pid, "SIGSTOP");
    },
    resume: () => {
      process.kill(pid, "SIGCONT");
    },
  };
}

/** A replica that has caught up. */
export async function startReplica(primary: Node, cleanUp: CleanUp): Promise<Node> {
  const { hostname, port } = new URL(primary.server.url);
  const replica = await startNode(cleanUp, { replicaof: `${hostname} ${port}` });
  await vi.waitFor(
    async () => expect(await replica.client.info("replication")).toContain("master_link_status:up"),
    { timeout: 20_000 },
  );
  return replica;
}

export async function primaryAndReplica(cleanUp: CleanUp) {
  const primary = await startNode(cleanUp);
  return { primary, replica: await startReplica(primary, cleanUp) };
}

/** A store that waits for one replica, on clients of its own. */
export function replicatedStore(
  url: string,
  cleanUp: CleanUp,
  options: RedisStoreOptions = {},
): RedisStore {
  const waitClient = redis(url, cleanUp);
  return redisStore(redis(url, cleanUp), { replicas: 1, waitClient, ...options });
}

/**
 * Stops a replica, and closes its connection as well: what a primary sends to a replica that is only stopped
 * waits in the kernel of the replica.
 */
export async function cutOff(replica: Node, { client }: Node): Promise<void> {
  await replica.pause();
  await client.client("KILL", "TYPE", "REPLICA");
}

/** Makes a primary of a replica whose primary is gone. */
export async function promote({ client }: Node): Promise<void> {
  await client.replicaof("NO", "ONE");
}

/** Waits until a WAIT is blocked on a primary. Returns the id of its connection. */
export async function untilWaitBlocks({ client }: Node): Promise<number> {
  let id = Number.NaN;
  const isBlocked = async () => {
    const list = String(await client.client("LIST"));
    id = Number(/^id=(\d+) .* flags=b .* cmd=wait /m.exec(list)?.[1]);
    return !Number.isNaN(id);
  };
  await expect.poll(isBlocked, { timeout: 20_000 }).toBe(true);
  return id;
}

/** Waits until a record says that the replicas have its outcome: no call waits for that. */
export async function untilMarked({ client }: Node, digest: string | undefined): Promise<void> {
  const status = () => client.getrange(`idemkit:${digest}`, 0, 0);
  await expect.poll(status, { timeout: 20_000 }).toMatch(/^[A-Z]$/);
}
