import type { Applied, Event } from "../history.ts";
import type { CallLedger } from "./call-ledger.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";

type Committed = Extract<Event, { kind: "committed" }>;
type Completed = Extract<Applied, { operation: "complete" }>;

interface Commit {
  readonly event: Committed;
  readonly atMs: number;
  /** Whose work it is, if that has written. */
  readonly call: CallLedger | undefined;
  readonly recordOf: (name: string) => RecordLedger;
}

/**
 * Holds a commit against what belongs together: the rows of one run and its own outcome, or a failure and
 * no rows.
 */
export function checkCommit({ event, atMs, call, recordOf }: Commit, expect: Expect): void {
  const { rows, applied } = event;
  for (const each of applied) {
    const record = recordOf(each.record);
    record.apply(each, atMs, expect);
    if (each.operation !== "claim" || call === undefined) continue;
    if (record.holder !== undefined) record.holder.run ??= call.function;
    const { how, takesOver } = call.call;
    const isFree = record.openRuns === 0 || takesOver || how !== "transaction";
    expect(isFree, "I2", "a transaction was committed although an earlier run is undecided");
  }
  const completed = applied.find(
    (each): each is Completed => each.operation === "complete" && each.answer,
  );
  const hasSucceeded = completed?.given.status === "succeeded";
  expect(hasSucceeded || rows.length === 0, "I1", "rows were committed without their outcome");
  if (completed === undefined || !hasSucceeded) return;
  const { body, token } = completed.given;
  const [row] = rows;
  const isWhole = rows.length === row?.of && rows.every(({ run }) => run === row.run);
  expect(isWhole, "I1", "an outcome was committed without its rows");
  const run = /"run":(\d+)/.exec(body)?.[1];
  const isOfRun = body.startsWith("none:") || run === String(row?.run);
  expect(isOfRun, "I1", "the outcome of one run was committed with the rows of another");
  const record = recordOf(completed.record);
  const life = record.grants.get(token)?.life ?? 0;
  expect(!record.committed.has(life), "I1", "two runs of a key have committed rows");
  record.committed.add(life);
  if (call !== undefined) {
    call.function.committed = body.startsWith("none:") ? call.function.worked?.said : body.slice(5);
    call.function.committedToken = token;
  }
}
