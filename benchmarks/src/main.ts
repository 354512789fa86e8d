import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { arch, cpus, platform } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createEngine, memoryStore } from "@idemkit/engine";
import {
  startMariaDb,
  startMysql,
  startPostgres,
  startRedis,
  type TestServer,
} from "@idemkit/test-servers";
import type { Measured } from "./trial.ts";

const run = promisify(execFile);
const isQuick = process.argv.includes("--quick");
const ROUNDS = isQuick ? 3 : 7;
const DURATION_MS = isQuick ? 700 : 2_000;
const CALLERS = isQuick ? [1, 64] : [1, 16, 64, 256];
const CALLERS_ON_SERVERS = [1, 16, 64, 256];
const CALLERS_OF_TRANSACTIONS = [1, 16];
/** Words on the command line choose stores; without any, all of them are measured. */
const chosen = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const isChosen = (store: string) => chosen.length === 0 || chosen.includes(store);

const write = (line: string) => process.stdout.write(`${line}\n`);

async function trial(subject: string, callers: number): Promise<Measured> {
  const script = fileURLToPath(new URL("trial.ts", import.meta.url));
  const args = [script, subject, String(callers), String(DURATION_MS)];
  const { stdout } = await run(process.execPath, [...process.execArgv, ...args]);
  return JSON.parse(stdout) as Measured;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Floor and idemkit by turns, each trial in a new process, so that a slow minute hits both. */
async function compare(kind: string, callers: number): Promise<void> {
  const trials: Record<"floor" | "idemkit", Measured[]> = { floor: [], idemkit: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const side of ["floor", "idemkit"] as const) {
      trials[side].push(await trial(`${kind} ${side}`, callers));
    }
  }
  const of = (side: "floor" | "idemkit", what: keyof Measured) =>
    median(trials[side].map((measured) => measured[what]));
  const ratio = of("idemkit", "perSecond") / of("floor", "perSecond");
  const cells = [
    kind.padEnd(20),
    callers,
    ...(["floor", "idemkit"] as const).map((side) => Math.round(of(side, "perSecond"))),
    `${ratio.toFixed(2)} ×`,
    ...(["floor", "idemkit"] as const).map((side) => of(side, "cpuUs").toFixed(1)),
    ...(["floor", "idemkit"] as const).flatMap((side) => [
      Math.round(of(side, "p50Us")),
      Math.round(of(side, "p99Us")),
    ]),
  ];
  write(cells.map((cell, index) => String(cell).padStart(index === 0 ? 0 : 10)).join(""));
}

/** Ratio of the fingerprint of a JSON body to JSON.stringify and SHA-256 of the same. */
async function fingerprints(): Promise<void> {
  const { fingerprintOf } = await import("../../packages/engine/src/fingerprint.ts");
  const nothing: ReadonlySet<string> = new Set();
  const lineOf = (index: number) => ({ sku: `sku-${index}`, quantity: index, priceCents: 1999 });
  for (const [size, lines] of [
    ["1 KiB", 20],
    ["100 KiB", 2_050],
  ] as const) {
    const body = {
      order: "o-1",
      lines: Array.from({ length: lines }, (_, index) => lineOf(index)),
    };
    const ratios: number[] = [];
    for (let round = 0; round < 25; round += 1) {
      const floorMs = timed(lines, () => hash("sha256", JSON.stringify(body), "hex"));
      const oursMs = timed(lines, () => fingerprintOf(body, nothing));
      ratios.push(oursMs / floorMs);
    }
    write(`fingerprint of ${size}: ${median(ratios).toFixed(2)} × JSON.stringify and SHA-256`);
  }
}

function timed(lines: number, task: () => unknown): number {
  const count = Math.ceil(20_000 / lines);
  const startedAtMs = performance.now();
  for (let index = 0; index < count; index += 1) task();
  return performance.now() - startedAtMs;
}

/** Heap after so many calls whose records are purged again: it has to stay where it was. */
async function memory(): Promise<void> {
  const calls = isQuick ? 100_000 : 1_000_000;
  let nowMs = Date.now();
  const store = memoryStore({ clock: () => nowMs });
  const engine = createEngine({ store });
  const heapMiB = () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const heaps: string[] = [];
  for (let done = 0; done <= calls; done += calls / 5) {
    heaps.push(heapMiB().toFixed(1));
    for (let index = 0; index < calls / 5; index += 1) {
      await engine.execute(["tenant", `${index}`], `${done}-${index}`, null, () => index);
    }
    nowMs += 2 * 86_400_000;
    await store.purge(calls);
  }
  write(`heap in MiB over ${calls} calls with other keys: ${heaps.join(", ")}`);
}

async function onServer(store: string, server: TestServer, how: string): Promise<void> {
  write(`on ${server.version}, ${how}`);
  process.env.IDEMKIT_BENCH_SERVER_URL = server.url;
  for (const kind of [`${store} fresh`, `${store} replay`]) {
    for (const callers of CALLERS_ON_SERVERS) await compare(kind, callers);
  }
  if (store !== "redis") {
    for (const callers of CALLERS_OF_TRANSACTIONS) await compare(`${store} transaction`, callers);
    await compare(`${store} batch`, 1);
  }
  await server.stop();
}

write(`Node ${process.version}, ${platform()} ${arch()}, ${cpus().length} × ${cpus()[0]?.model}`);
write(
  `medians of ${ROUNDS} alternating trials of ${DURATION_MS} ms, each in a process of its own\n`,
);
const heads = [
  "callers",
  "floor/s",
  "idemkit/s",
  "ratio",
  "floor µs",
  "idem. µs",
  "fl. p50",
  "fl. p99",
  "id. p50",
  "id. p99",
];
write(`${"".padEnd(20)}${heads.map((head) => head.padStart(10)).join("")}`);
if (isChosen("sqlite")) {
  for (const kind of ["sqlite fresh", "sqlite replay"]) {
    for (const callers of CALLERS) await compare(kind, callers);
  }
  for (const callers of CALLERS_OF_TRANSACTIONS) await compare("sqlite transaction", callers);
  await compare("sqlite batch", 1);
}
if (isChosen("postgres")) {
  await onServer("postgres", await startPostgres({ settings: { fsync: "on" } }), "fsync on");
}
const flushed = { settings: { "innodb-flush-log-at-trx-commit": "1" } };
if (isChosen("mariadb")) {
  await onServer("mysql", await startMariaDb(flushed), "each commit flushed");
}
if (isChosen("mysql")) {
  const server = await startMysql();
  if (server === undefined) write("MySQL is not here: there is no mysqld but MariaDB's.");
  else await onServer("mysql", server, "with its own settings");
}
if (isChosen("redis")) {
  await onServer("redis", await startRedis({ settings: {} }), "without a log");
}
if (isChosen("memory")) {
  for (const kind of ["memory fresh", "memory replay"]) await compare(kind, 1);
}
write("\nµs: time on the processor of the client for each operation");
if (isChosen("memory")) {
  await fingerprints();
  await memory();
}
