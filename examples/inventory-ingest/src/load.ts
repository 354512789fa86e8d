import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "./load-run.ts";

const LINES = 10_000;
const CLIENTS = 40;
/** One file has one writer at a time, so that more workers would only wait for each other. */
const WORKERS_ON_SQLITE = 2;
const WORKERS_ON_POSTGRES = 4;

const [lines = LINES, clients = CLIENTS] = process.argv.slice(2).map(Number);
if (![lines, clients].every((each) => Number.isSafeInteger(each) && each > 0)) {
  process.stderr.write("load: expected [lines] [clients], both from 1.\n");
  process.exitCode = 2;
} else {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-load-"));
  const database = process.env.INVENTORY_DATABASE ?? `sqlite:${join(folder, "load.db")}`;
  const workers = database.startsWith("sqlite:") ? WORKERS_ON_SQLITE : WORKERS_ON_POSTGRES;
  try {
    const report = await load({ database, lines, clients, workers });
    const rows = Object.entries({ ...report, seconds: report.seconds.toFixed(1) });
    for (const [name, value] of rows) process.stdout.write(`${name.padEnd(12)} ${value}\n`);
    const { lost, doubled, wrongPlaces } = report;
    process.exitCode = lost + doubled + wrongPlaces === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
