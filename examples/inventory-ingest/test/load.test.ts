import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { planOf } from "../src/load-plan.ts";
import { load } from "../src/load-run.ts";

const LINES = 2_000;
const CLIENTS = 40;
const WORKERS = 2;
const TEST_MS_MAX = 60_000;

test(
  "forty clients whose workers are killed lose no line and double none",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-load-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const database = `sqlite:${join(folder, "load.db")}`;
    const report = await load({ database, lines: LINES, clients: CLIENTS, workers: WORKERS });
    expect(report).toMatchObject({ lines: LINES, lost: 0, doubled: 0, wrongPlaces: 0 });
    expect(report.kills).toBeGreaterThan(0);
    // A worker that was killed while it had nothing to do would show nothing.
    expect(report.interrupted).toBeGreaterThan(0);
    expect(report.sends).toBeGreaterThan((LINES / 100) * 4);
    expect(report.deduped).toBeGreaterThanOrEqual(LINES * 2);
  },
  TEST_MS_MAX,
);

test("the plan sends each line at least twice, in batches that overlap", () => {
  const { clients, lines } = planOf(LINES, CLIENTS);
  const times = new Map<string, number>();
  for (const send of clients.flat()) {
    for (const { product, location } of send.lines) {
      const key = JSON.stringify([send.idempotencyKey, product, location]);
      times.set(key, (times.get(key) ?? 0) + 1);
    }
  }
  expect([lines.length, times.size]).toEqual([LINES, LINES]);
  expect([...new Set(times.values())].sort()).toEqual([2, 4]);
  expect(clients.every((sends) => sends.length > 0)).toBe(true);
});
