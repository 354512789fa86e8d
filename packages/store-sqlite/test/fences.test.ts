import { clauses } from "@idemkit/conformance";
import { expect, test } from "vitest";
import { type SqliteHandle, sqliteStore } from "../src/index.ts";
import * as statements from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { migrated, opened } from "./database.ts";

const sql: Readonly<Record<string, string>> = { ...statements };

interface Break {
  readonly statement: Exclude<keyof typeof statements, "NOW">;
  /** What is taken out of the statement, and what stands there instead. */
  readonly from: string;
  readonly to: string;
  readonly caughtBy: string;
}

// Each condition of each statement, taken out: if no clause noticed, it would guard nothing.
const breaks: readonly Break[] = [
  {
    statement: "CLAIM_AGAIN",
    from: "AND owner = @owner",
    to: "",
    caughtBy: "claim.in-progress",
  },
  {
    statement: "CLAIM_AGAIN",
    from: "AND status = 'claimed'",
    to: "",
    caughtBy: "claim.released-owner",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "'released') AND expires_at <= @now",
    to: "'released')",
    caughtBy: "claim.released-owner",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "'succeeded', 'failed', 'released'",
    to: "'succeeded', 'failed', 'released', 'claimed'",
    caughtBy: "claim.open-stays",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "AND owner <> @owner",
    to: "",
    caughtBy: "claim.released-owner",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "AND (checkpoint IS NULL OR fingerprint = @fingerprint)",
    to: "",
    caughtBy: "claim.released-checkpoint",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "AND (checkpoint IS NULL OR fingerprint = @fingerprint)",
    to: "AND fingerprint = @fingerprint",
    caughtBy: "claim.released",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "AND lease_ends_at + @takeOverAfterMs <= @now",
    to: "",
    caughtBy: "claim.lease-holds",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "AND fingerprint = @fingerprint\n",
    to: "\n",
    caughtBy: "claim.lapsed",
  },
  { statement: "CLAIM_PRESENT", from: "AND @takeOver", to: "", caughtBy: "claim.lapsed" },
  {
    statement: "CLAIM_PRESENT",
    from: "max(token + 1, @token)",
    to: "@token",
    caughtBy: "token.purge",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "iif(status = 'claimed', created_at, @now)",
    to: "@now",
    caughtBy: "claim.take-over",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "iif(status <> 'claimed' AND expires_at <= @now, 1, attempt + 1)",
    to: "attempt + 1",
    caughtBy: "claim.expired",
  },
  { statement: "CLAIM_PRESENT", from: "note = NULL,", to: "", caughtBy: "release.unknown" },
  { statement: "RENEW", from: "AND owner = @owner", to: "", caughtBy: "renew.fence" },
  { statement: "RENEW", from: "AND token = @token", to: "", caughtBy: "renew.token" },
  {
    statement: "COMPLETE",
    from: "OR lease_ends_at <= @now",
    to: "OR 1",
    caughtBy: "complete.if-lapsed",
  },
  { statement: "COMPLETE", from: "OR status = 'unknown'", to: "", caughtBy: "complete.if-lapsed" },
  { statement: "COMPLETE", from: "NOT @ifLapsed OR", to: "", caughtBy: "complete.first-wins" },
  { statement: "COMPLETE", from: "AND token = @token", to: "", caughtBy: "complete.token" },
  { statement: "IS_COMPLETED", from: "AND token = @token", to: "", caughtBy: "complete.token" },
  { statement: "RELEASE", from: "AND token = @token", to: "", caughtBy: "release.token" },
  { statement: "IS_RELEASED", from: "AND token = @token", to: "", caughtBy: "release.token" },
  { statement: "RENEW", from: "AND status = 'claimed'", to: "", caughtBy: "renew.ended" },
  {
    statement: "RENEW",
    from: "iif(@revision > ifnull(checkpoint_revision, -1), @checkpoint, checkpoint)",
    to: "ifnull(@checkpoint, checkpoint)",
    caughtBy: "renew.checkpoint",
  },
  { statement: "COMPLETE", from: "AND owner = @owner", to: "", caughtBy: "complete.fence" },
  {
    statement: "COMPLETE",
    from: "AND status IN ('claimed', 'unknown')",
    to: "",
    caughtBy: "complete.first-wins",
  },
  {
    statement: "COMPLETE",
    from: "IN ('claimed', 'unknown')",
    to: "IN ('claimed')",
    caughtBy: "complete.unknown",
  },
  {
    statement: "COMPLETE",
    from: "max(expires_at, @now + @retentionMs), expires_at",
    to: "@now + @retentionMs, @now + @retentionMs",
    caughtBy: "complete.retention",
  },
  {
    statement: "COMPLETE",
    from: "max(expires_at, @now + @retentionMs), expires_at",
    to: "expires_at, expires_at",
    caughtBy: "complete.late",
  },
  {
    statement: "IS_COMPLETED",
    from: "AND owner = @owner",
    to: "",
    caughtBy: "complete.repeat-fence",
  },
  { statement: "IS_COMPLETED", from: "AND body = @body", to: "", caughtBy: "complete.first-wins" },
  {
    statement: "IS_COMPLETED",
    from: "AND status = @status",
    to: "",
    caughtBy: "complete.first-wins",
  },
  {
    statement: "IS_COMPLETED",
    from: "AND expires_at > @now",
    to: "",
    caughtBy: "complete.expired",
  },
  {
    statement: "COMPLETE",
    from: "@retentionMs * 9",
    to: "@retentionMs * 8",
    caughtBy: "complete.nine-tenths",
  },
  {
    statement: "CLAIM_PRESENT",
    from: "completed_at = NULL,",
    to: "",
    caughtBy: "claim.begins-anew",
  },
  { statement: "RELEASE", from: "AND owner = @owner", to: "", caughtBy: "release.fence" },
  {
    statement: "RELEASE",
    from: "AND status IN ('claimed', 'unknown')",
    to: "",
    caughtBy: "release.fence",
  },
  { statement: "RELEASE", from: "body = NULL, ", to: "", caughtBy: "release.unknown" },
  { statement: "IS_RELEASED", from: "AND owner = @owner", to: "", caughtBy: "release.fence" },
  { statement: "IS_RELEASED", from: "AND status = 'released'", to: "", caughtBy: "release.fence" },
  { statement: "IS_RELEASED", from: "AND expires_at > @now", to: "", caughtBy: "release.expired" },
  { statement: "REMOVE", from: "AND token = @token", to: "", caughtBy: "remove.token" },
  {
    statement: "REMOVE",
    from: "AND (status IN ('claimed', 'unknown') OR expires_at > @now)",
    to: "",
    caughtBy: "remove.expired",
  },
  { statement: "REMOVE", from: "checkpoint = NULL,\n", to: "", caughtBy: "remove.fences" },
  {
    statement: "PURGE",
    from: "status IN ('succeeded', 'failed', 'released')\n      AND",
    to: "",
    caughtBy: "purge.not-due",
  },
  { statement: "PURGE", from: "expires_at <= @now AND", to: "", caughtBy: "purge.not-due" },
  { statement: "PURGE", from: "AND token < @now * 1000", to: "", caughtBy: "token.purge" },
  {
    statement: "PURGE",
    from: "LIMIT @limit",
    to: "LIMIT 1000 + @limit",
    caughtBy: "purge.expired",
  },
];

/** A clock that stands still for a second: tokens get ahead of it on any machine. */
const COARSE_CLOCK = "SELECT unixepoch() * 1000 AS now";

/** A handle that prepares one statement otherwise than it was written. */
function breaking(db: SqliteHandle, { statement, from, to, caughtBy }: Break): SqliteHandle {
  const whole = sql[statement] ?? "";
  expect(whole, "the statement has changed: so must this table").toContain(from);
  return {
    get inTransaction() {
      return db.inTransaction;
    },
    memory: db.memory,
    readonly: false,
    prepare: (text) => {
      if (text === whole) return db.prepare(whole.replace(from, to));
      const isCoarse = text === statements.NOW && caughtBy === "token.purge";
      return db.prepare(isCoarse ? COARSE_CLOCK : text);
    },
    exec: (text) => db.exec(text),
    pragma: (source, options) => db.pragma(source, options),
  };
}

for (const broken of breaks) {
  const { statement, from, to, caughtBy } = broken;
  test(`${statement} without «${from.trim()}»${to.trim() && `, but «${to}»,`} fails ${caughtBy}`, async () => {
    const { db, path } = await migrated();
    const other = opened(path);
    const clause = clauses.find(({ id }) => id === caughtBy);
    expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
    const check = clause?.check({
      stores: [sqliteStore(breaking(db, broken)), sqliteStore(breaking(other, broken))],
      elapse: async (ms, digests) => elapse(db, ms, digests),
    });
    await expect(check).rejects.toThrow();
  });
}
