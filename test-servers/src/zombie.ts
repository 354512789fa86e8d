import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  createEngine,
  type IdempotencyError,
  type OperationOptions,
  type TransactionalEngine,
  type TransactionalStore,
} from "@idemkit/engine";

/** Where the zombie is when it is stopped: before its transaction begins, or inside, having written. */
export type StoppedAt = "before" | "inside";

const LEASE_MS = 500;
const PATIENCE_MS = 20_000;
const OPTIONS: OperationOptions = {
  leaseMs: LEASE_MS,
  replayMs: 3_600_000,
  onLapsed: "rerun",
  onDuplicate: { waitMs: PATIENCE_MS },
};

/** An engine of whichever store: the roles below write by a function that the store's test gives. */
function engineOn<Tx>(store: TransactionalStore<Tx>): TransactionalEngine<unknown, false> {
  return createEngine({ store: store as TransactionalStore<unknown, false>, ...OPTIONS });
}

/**
 * Stops another process in the middle of an operation for longer than its lease, lets somebody else do
 * the operation, and wakes it up again: it must be told that it is too late.
 */
export async function outliveZombie<Tx>(
  script: URL,
  args: readonly string[],
  stoppedAt: StoppedAt,
  store: TransactionalStore<Tx>,
): Promise<void> {
  const child = fork(fileURLToPath(script), [...args, stoppedAt], {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
  });
  try {
    await once(child, "message");
    child.kill("SIGSTOP");
    await sleep(2 * LEASE_MS);
    const { value } = await engineOn(store).execute("zombie", stoppedAt, 1, () => "second");
    assert.equal(value, "second");
    const told = once(child, "message");
    child.kill("SIGCONT");
    const [code] = await told;
    // A server that has ended its transaction has ended its connection too.
    assert.ok(code === "LEASE_LOST" || (stoppedAt === "inside" && code === "STORE_FAILED"), code);
  } finally {
    child.kill("SIGKILL");
  }
}

/** The part of the process that is stopped. */
export async function beZombie<Tx>(
  stoppedAt: StoppedAt,
  store: TransactionalStore<Tx>,
  write: (tx: Tx, label: string) => unknown,
): Promise<void> {
  const stopHere = async () => {
    process.send?.("stop me");
    await sleep(2 * LEASE_MS);
  };
  const run = engineOn(store).execute("zombie", stoppedAt, 1, async ({ transaction }) => {
    if (stoppedAt === "before") await stopHere();
    return await transaction((tx) => {
      const written = write(tx as Tx, "zombie");
      if (stoppedAt === "before" && !(written instanceof Promise)) return "first";
      return Promise.resolve(written)
        .then(stopHere)
        .then(() => "first");
    });
  });
  const code = await run.then(
    () => "it was told that it had won",
    (error: IdempotencyError) => error.code,
  );
  process.send?.(code);
}
