import { setImmediate as turn } from "node:timers/promises";
import { subjects } from "./subjects.ts";

/** What one trial measured. */
export interface Measured {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Time on the processor for each operation, user and system. */
  readonly cpuUs: number;
}

// One trial in a process of its own: a subject, so many callers, so many milliseconds.
const [name = "", callersText = "1", durationText = "1000"] = process.argv.slice(2);
const callers = Number(callersText);
const durationMs = Number(durationText);
/** Long enough for the just-in-time compiler to be done with all that a call passes. */
const WARM_UP_MS = 2_500;
/** A caller that only ever awaits promises would keep timers and sockets from their turn. */
const OPERATIONS_PER_TURN = 64;

const open = subjects[name];
if (open === undefined) throw new Error(`no such subject: ${name}`);
const subject = await open();
let started = 0;
let latenciesUs: number[] = [];

async function call(untilMs: number): Promise<void> {
  for (let count = 1; performance.now() < untilMs; count += 1) {
    const atMs = performance.now();
    const number = started;
    started += 1;
    await subject.run(number);
    latenciesUs.push((performance.now() - atMs) * 1000);
    if (count % OPERATIONS_PER_TURN === 0) await turn();
  }
}

async function callAll(ms: number): Promise<void> {
  const untilMs = performance.now() + ms;
  await Promise.all(Array.from({ length: callers }, () => call(untilMs)));
}

await callAll(WARM_UP_MS);
latenciesUs = [];
const cpu = process.cpuUsage();
const startedAtMs = performance.now();
await callAll(durationMs);
const elapsedMs = performance.now() - startedAtMs;
const { user, system } = process.cpuUsage(cpu);
await subject.close();

const sorted = latenciesUs.sort((a, b) => a - b);
const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
const measured: Measured = {
  perSecond: (sorted.length / elapsedMs) * 1000,
  p50Us: at(0.5),
  p99Us: at(0.99),
  cpuUs: (user + system) / sorted.length,
};
process.stdout.write(JSON.stringify(measured));
