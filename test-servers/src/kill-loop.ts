import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  createEngine,
  type OperationOptions,
  type TransactionalEngine,
  type TransactionalStore,
} from "@idemkit/engine";

const KEYS = 300;
const WORKERS = 2;
const AT_ONCE = 4;
const LIFE_MS_MAX = 1_000;
const LIVES_MAX = 200;
const KILLS_MIN = 5;
const LEASE_MS = 500;
const READY = "ready";

/** The keys that all workers of a loop work on. */
const keys = Array.from({ length: KEYS }, (_, index) => `key ${index}`);

/** What a record and its effect have to agree on, in any dialect: how many do not, or are there twice. */
export const DISAGREEMENTS = `
  SELECT
    (SELECT count(*) FROM effects WHERE NOT EXISTS (
      SELECT 1 FROM idemkit_records WHERE label = \`key\` AND status = 'succeeded'))
    + (SELECT count(*) FROM idemkit_records WHERE status = 'succeeded' AND NOT EXISTS (
      SELECT 1 FROM effects WHERE label = \`key\`))
    + (SELECT count(*) - count(DISTINCT label) FROM effects) AS n`;

const OPTIONS: OperationOptions = {
  leaseMs: LEASE_MS,
  replayMs: 3_600_000,
  onLapsed: "rerun",
  onDuplicate: { waitMs: 60_000 },
};

/**
 * Has two processes work on the same 300 keys, in transactions of both kinds, and kills each of them at
 * random moments, until all keys are done. After each kill, and in the end, what is in the tables has to
 * agree.
 *
 * @param disagreements asks the tables, in one statement
 * @returns how many processes were killed
 */
export async function killLoop(
  script: URL,
  args: readonly string[],
  disagreements: () => Promise<number>,
): Promise<number> {
  const done = new Set<string>();
  let kills = 0;
  const live = async () => {
    for (let life = 0; done.size < KEYS || kills < KILLS_MIN; life += 1) {
      assert.ok(life < LIVES_MAX, `only ${done.size} of ${KEYS} keys were done in ${life} lives`);
      if (await oneLife(script, args, (key) => done.add(key))) kills += 1;
      assert.equal(await disagreements(), 0, "records and effects disagree after a kill");
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, live));
  assert.equal(done.size, KEYS);
  assert.equal(await disagreements(), 0, "records and effects disagree in the end");
  return kills;
}

/** Answers whether the process had to be killed. */
async function oneLife(
  script: URL,
  args: readonly string[],
  onDone: (key: string) => void,
): Promise<boolean> {
  const child: ChildProcess = fork(fileURLToPath(script), args, {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
  });
  child.on("message", (key) => {
    if (key !== READY) onDone(String(key));
  });
  const ended = once(child, "exit");
  await Promise.race([once(child, "message"), ended]);
  // Mostly short lives, and some long enough to get on.
  await Promise.race([sleep(Math.random() ** 2 * LIFE_MS_MAX), ended]);
  const isKilled = child.exitCode === null && child.kill("SIGKILL");
  await ended;
  return isKilled;
}

/** Works on the keys of a loop until all are done, or somebody ends this process. */
export async function workUntilKilled<Tx>(
  store: TransactionalStore<Tx>,
  write: (tx: Tx, label: string) => unknown,
): Promise<void> {
  const engine: TransactionalEngine<unknown, false> = createEngine({
    store: store as TransactionalStore<unknown, false>,
    ...OPTIONS,
  });
  process.send?.(READY);
  const left = keys.toSorted(() => Math.random() - 0.5);
  const work = async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) {
      await workOn(engine, key, (tx, label) => write(tx as Tx, label));
      process.send?.(key);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.disconnect?.();
  process.exit(0);
}

/** Half of the keys are done in a transaction, and half in one inside an execution. */
async function workOn(
  engine: TransactionalEngine<unknown, false>,
  key: string,
  write: (tx: unknown, label: string) => unknown,
): Promise<void> {
  const effect = (tx: unknown) => {
    const written = write(tx, key);
    return written instanceof Promise ? written.then(() => key) : key;
  };
  if (Number(key.slice(-1)) % 2 === 0) await engine.transaction("kill", key, key, effect);
  else await engine.execute("kill", key, key, ({ transaction }) => transaction(effect));
}
