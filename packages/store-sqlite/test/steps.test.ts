import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openSqlite } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { migrated } from "./database.ts";
import { type FiveSteps, LEASE_MS, runFiveSteps, STEPS } from "./five-steps.ts";

const SCRIPT = fileURLToPath(new URL("steps-process.ts", import.meta.url));
const TIMEOUT_MS = 90_000;

/** Lets a process die there, and runs the operation once more when its lease is over. */
async function dieAndRetry(
  diesAt: string,
  guarantee: FiveSteps["guarantee"],
  reconciles = false,
): Promise<readonly [string, readonly string[]]> {
  const { path } = await migrated();
  const effects = `${path}.effects`;
  writeFileSync(effects, "");
  const spec: FiveSteps = { path, effects, guarantee, reconciles };
  const signal = await new Promise((resolve) => {
    const options = ["--conditions=@idemkit/source", "--import", "tsx", SCRIPT];
    execFile(process.execPath, [...options, JSON.stringify(spec), diesAt], (error) =>
      resolve(error?.signal),
    );
  });
  expect(signal).toBe("SIGKILL");
  const db = openSqlite(path);
  elapse(db, LEASE_MS);
  db.close();
  const outcome = await runFiveSteps(spec);
  return [outcome, readFileSync(effects, "utf8").split("\n").filter(Boolean)];
}

describe("a process that is killed in an operation of five steps", { timeout: TIMEOUT_MS }, () => {
  for (const guarantee of ["at-most-once", "at-least-once"] as const) {
    test(`between two of them is resumed ${guarantee}, and every step runs once`, async () => {
      for (const step of STEPS) {
        expect(await dieAndRetry(`before ${step}`, guarantee)).toEqual(["all", STEPS]);
      }
    });
  }

  for (const [index, step] of STEPS.entries()) {
    const upTo = STEPS.slice(0, index + 1);

    test(`inside ${step} leaves the outcome unknown at-most-once`, async () => {
      const died = await dieAndRetry(`inside ${step}, done`, "at-most-once");
      expect(died).toEqual(["OUTCOME_UNKNOWN", upTo]);
    });

    test(`inside ${step} runs that one again at-least-once, and no other`, async () => {
      const died = await dieAndRetry(`inside ${step}, done`, "at-least-once");
      expect(died).toEqual(["all", [...upTo, ...STEPS.slice(index)]]);
    });

    test(`inside ${step} finds out at-most-once where it can, and every step runs once`, async () => {
      const died = await dieAndRetry(`inside ${step}, done`, "at-most-once", true);
      expect(died).toEqual(["all", STEPS]);
    });
  }

  test("inside one that had no effect yet runs it, where it can find that out", async () => {
    expect(await dieAndRetry("inside s3", "at-most-once", true)).toEqual(["all", STEPS]);
    expect(await dieAndRetry("inside s3", "at-least-once")).toEqual(["all", STEPS]);
  });
});
