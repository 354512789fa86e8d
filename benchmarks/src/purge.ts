import { createEngine } from "@idemkit/engine";
import { targets } from "./purge-targets.ts";

// How live calls fare while a million expired records are purged: their latency with and without it.

const [target = "postgres", count = "1000000"] = process.argv.slice(2);
const RECORDS = Number(count);
const CALLERS = 16;
const QUIET_MS = 10_000;
const PURGE_LIMIT = 10_000_000;

const open = targets[target];
if (open === undefined) {
  throw new Error(`${target}: expected ${Object.keys(targets).join(" or ")}.`);
}
const { version, store, close } = await open(RECORDS);
const engine = createEngine({ store });
let made = 0;

/** Calls without a pause until told to stop, and answers how long each took. */
async function callUntil(isOver: () => boolean): Promise<readonly number[]> {
  const latenciesMs: number[] = [];
  const caller = async () => {
    while (!isOver()) {
      made += 1;
      const atMs = performance.now();
      await engine.execute("bench", `new-${made}`, null, () => 1);
      latenciesMs.push(performance.now() - atMs);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return latenciesMs.sort((one, other) => one - other);
}

function report(what: string, latenciesMs: readonly number[], tookMs: number): void {
  const at = (share: number) =>
    (latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0).toFixed(2);
  const perSecond = Math.round((latenciesMs.length * 1_000) / tookMs);
  process.stdout.write(`${what}: ${perSecond} calls/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms\n`);
}

const timed = async (what: string, isOver: () => boolean) => {
  const startedAtMs = performance.now();
  const latenciesMs = await callUntil(isOver);
  report(what, latenciesMs, performance.now() - startedAtMs);
};

process.stdout.write(`${version}, ${CALLERS} callers, ${RECORDS} expired records\n`);
const after = (ms: number) => {
  const untilMs = performance.now() + ms;
  return () => performance.now() > untilMs;
};
await callUntil(after(QUIET_MS / 2));
await timed("before the purge", after(QUIET_MS));
const startedAtMs = performance.now();
let purged: number | undefined;
const purging = engine.purge({ limit: PURGE_LIMIT }).then((count) => {
  purged = count;
});
await timed("during the purge", () => purged !== undefined);
await purging;
const tookS = (performance.now() - startedAtMs) / 1_000;
process.stdout.write(`purged ${purged} in ${tookS.toFixed(1)} s\n`);
await timed("after the purge", after(QUIET_MS));
await engine.close();
await close();
