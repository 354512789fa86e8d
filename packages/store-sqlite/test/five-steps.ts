import { appendFileSync, readFileSync } from "node:fs";
import { createEngine, type Guarantee, type IdempotencyError } from "@idemkit/engine";
import { openSqlite, sqliteStore } from "../src/index.ts";

export const STEPS = ["s1", "s2", "s3", "s4", "s5"];
export const LEASE_MS = 30_000;

export interface FiveSteps {
  /** Of the database. */
  readonly path: string;
  /** Of a file whose lines are the effects. */
  readonly effects: string;
  readonly guarantee: Guarantee;
  readonly reconciles: boolean;
  /** Hears where the operation is. */
  readonly passes?: (place: string) => void;
}

/** Runs an operation of five steps, and answers its value, or the code of its error. */
export async function runFiveSteps({
  path,
  effects,
  guarantee,
  reconciles,
  passes = () => undefined,
}: FiveSteps): Promise<string> {
  const db = openSqlite(path);
  // The effects are those of a dead process on a file: none can arrive late.
  const settleAfterMs = 0;
  const options = { guarantee, steps: true, settleAfterMs, leaseMs: LEASE_MS, replayMs: 3_600_000 };
  const engine = createEngine({ store: sqliteStore(db), ...options });
  const run = engine.execute("steps", "k", null, async ({ step }) => {
    for (const name of STEPS) {
      const reconcile = () =>
        readFileSync(effects, "utf8").includes(name) ? { happened: name } : "did-not-happen";
      passes(`before ${name}`);
      const effect = () => {
        passes(`inside ${name}`);
        appendFileSync(effects, `${name}\n`);
        passes(`inside ${name}, done`);
        return name;
      };
      await step(name, effect, reconciles ? { reconcile } : {});
    }
    return "all";
  });
  return await run
    .then(
      ({ value }) => value,
      (error: IdempotencyError) => error.code,
    )
    .finally(() => db.close());
}
