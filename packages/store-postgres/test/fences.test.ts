import { clauses } from "@idemkit/conformance";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate, type PgPool, postgresStore } from "../src/index.ts";
import type { Pair } from "../src/pairs.ts";
import * as statements from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";

const sql: Readonly<Record<string, string | Pair | readonly string[]>> = { ...statements };

interface Break {
  readonly statement: Exclude<keyof typeof statements, "COLUMNS">;
  /** What is taken out of the statement, and what stands there instead. */
  readonly from: string | RegExp;
  readonly to: string;
  readonly caughtBy: string;
}

// Each condition of each statement, taken out: if no clause noticed, it would guard nothing. What
// stands twice in a claim is taken out at both places: where it reads, and where it writes.
const breaks: readonly Break[] = [
  {
    statement: "CLAIM",
    from: /stored\.status IN \('succeeded', 'failed', 'released'\) AND stored\.expires_at <= [^\n]*\n/,
    to: "stored.status IN ('succeeded', 'failed', 'released'))\n",
    caughtBy: "claim.completed",
  },
  {
    statement: "CLAIM",
    from: /'succeeded', 'failed', 'released'/,
    to: "'succeeded', 'failed', 'released', 'claimed'",
    caughtBy: "claim.open-stays",
  },
  {
    statement: "CLAIM",
    from: /(stored\.status = 'released'\n\s*)AND stored\.owner <> \w+\.owner/,
    to: "$1",
    caughtBy: "claim.released-owner",
  },
  {
    statement: "CLAIM",
    from: /AND \(stored\.checkpoint IS NULL OR stored\.fingerprint = \w+\.fingerprint\)/,
    to: "",
    caughtBy: "claim.released-checkpoint",
  },
  {
    statement: "CLAIM",
    from: /AND stored\.lease_ends_at <= [^\n]*\n/,
    to: "\n",
    caughtBy: "claim.lease-holds",
  },
  {
    statement: "CLAIM",
    from: /(AND stored\.owner <> \w+\.owner\n\s*)AND stored\.fingerprint = \w+\.fingerprint\n/,
    to: "$1",
    caughtBy: "claim.lapsed",
  },
  {
    statement: "CLAIM",
    from: /AND (request\.take_over|\(SELECT take_over FROM request WHERE [^)]*\))/,
    to: "",
    caughtBy: "claim.lapsed",
  },
  {
    statement: "CLAIM",
    from: /greatest\(stored\.token \+ 1, (.*)\),\n/,
    to: "$1,\n",
    caughtBy: "token.purge",
  },
  {
    statement: "CLAIM",
    from: /created_at = CASE WHEN stored\.status = 'claimed' THEN stored\.created_at ELSE (.*) END/,
    to: "created_at = $1",
    caughtBy: "claim.take-over",
  },
  {
    statement: "CLAIM",
    from: /WHEN stored\.status <> 'claimed' AND stored\.expires_at <= .* THEN 1/,
    to: "WHEN false THEN 1",
    caughtBy: "claim.expired",
  },
  {
    statement: "CLAIM",
    from: "note = NULL,",
    to: "note = stored.note,",
    caughtBy: "release.unknown",
  },
  {
    statement: "CLAIM",
    from: /taken_over = stored\.status = 'claimed'/,
    to: "taken_over = false",
    caughtBy: "claim.take-over",
  },
  { statement: "RENEW", from: "stored.owner = request.owner", to: "true", caughtBy: "renew.fence" },
  { statement: "RENEW", from: "stored.token = request.token", to: "true", caughtBy: "renew.token" },
  { statement: "RENEW", from: "AND stored.status = 'claimed'", to: "", caughtBy: "renew.ended" },
  {
    statement: "RENEW",
    from: "WHEN request.revision > coalesce(stored.checkpoint_revision, -1) THEN",
    to: "WHEN request.revision IS NOT NULL THEN",
    caughtBy: "renew.checkpoint",
  },
  {
    statement: "RENEW",
    from: "greatest(stored.checkpoint_revision, request.revision)",
    to: "request.revision",
    caughtBy: "renew.checkpoint",
  },
  {
    statement: "COMPLETE",
    from: "stored.owner = request.owner",
    to: "true",
    caughtBy: "complete.fence",
  },
  {
    statement: "COMPLETE",
    from: "stored.token = request.token",
    to: "true",
    caughtBy: "complete.token",
  },
  {
    statement: "COMPLETE",
    from: "AND stored.status IN ('claimed', 'unknown')",
    to: "",
    caughtBy: "complete.first-wins",
  },
  {
    statement: "COMPLETE",
    from: /AND \(NOT request\.if_lapsed .*\)/,
    to: "",
    caughtBy: "complete.if-lapsed",
  },
  {
    statement: "COMPLETE",
    from: "OR stored.status = 'unknown'",
    to: "",
    caughtBy: "complete.if-lapsed",
  },
  {
    statement: "COMPLETE",
    from: "greatest(stored.expires_at, ",
    to: "least(stored.expires_at, ",
    caughtBy: "complete.retention",
  },
  {
    statement: "IS_COMPLETED",
    from: "stored.token = request.token",
    to: "true",
    caughtBy: "complete.token",
  },
  {
    statement: "IS_COMPLETED",
    from: "AND stored.body = request.body",
    to: "",
    caughtBy: "complete.first-wins",
  },
  {
    statement: "IS_COMPLETED",
    from: "stored.status = request.status AND",
    to: "",
    caughtBy: "complete.first-wins",
  },
  {
    statement: "RELEASE",
    from: "stored.owner = request.owner",
    to: "true",
    caughtBy: "release.fence",
  },
  {
    statement: "RELEASE",
    from: "stored.token = request.token",
    to: "true",
    caughtBy: "release.token",
  },
  {
    statement: "RELEASE",
    from: "AND stored.status IN ('claimed', 'unknown')",
    to: "",
    caughtBy: "release.fence",
  },
  {
    statement: "IS_RELEASED",
    from: "AND stored.status = 'released'",
    to: "",
    caughtBy: "release.fence",
  },
  {
    statement: "REMOVE",
    from: "stored.token = request.token",
    to: "true",
    caughtBy: "remove.token",
  },
  { statement: "LIST", from: "stored.digest > $2::text::uuid", to: "true", caughtBy: "list.pages" },
  {
    statement: "PURGE",
    from: "AND status IN ('succeeded', 'failed', 'released')",
    to: "",
    caughtBy: "purge.not-due",
  },
  {
    statement: "PURGE",
    from: /WHERE expires_at <= .*\n/,
    to: "WHERE true\n",
    caughtBy: "purge.not-due",
  },
  {
    statement: "PURGE",
    from: /LIMIT \$1::text::bigint/,
    to: "LIMIT 1000",
    caughtBy: "purge.expired",
  },
];

/** A clock that stands still for a second: tokens get ahead of it on any machine. */
function onCoarseClock(text: string): string {
  return text.replaceAll(
    /clock_timestamp\(\)|(?<=date_part\('epoch', )now\(\)/g,
    "date_trunc('second', $&)",
  );
}

/** A pool that sends one statement otherwise than it was written. */
function breaking(client: pg.Pool, { statement, from, to, caughtBy }: Break): PgPool {
  const whole = sql[statement] as string | Pair;
  const texts = typeof whole === "string" ? [whole] : [whole.one, whole.list];
  const pattern = typeof from === "string" ? from : new RegExp(from, "g");
  for (const text of texts) {
    expect(text.replaceAll(pattern, to), "the statement has changed: so must this table").not.toBe(
      text,
    );
  }
  return {
    totalCount: 0,
    connect: () => client.connect() as never,
    query: (config) => {
      const isBroken = texts.includes(config.text);
      const broken = isBroken ? config.text.replaceAll(pattern, to) : config.text;
      const text = caughtBy === "token.purge" ? onCoarseClock(broken) : broken;
      const { name: _, ...unnamed } = config as typeof config & { readonly name?: string };
      return client.query({ ...unnamed, text } as never) as never;
    },
  };
}

describe("each condition of the statements guards something", () => {
  let clients: readonly [pg.Pool, pg.Pool];
  const undos: (() => Promise<void>)[] = [];
  const cleanUp = (undo: () => Promise<void>) => void undos.unshift(undo);
  beforeAll(async () => {
    const url = await database(cleanUp);
    clients = [pool(url, cleanUp), pool(url, cleanUp)];
    await migrate(clients[0]);
  });
  afterAll(async () => {
    for (const undo of undos) await undo();
  });

  for (const broken of breaks) {
    const { statement, from, to, caughtBy } = broken;
    const change = to === "" ? String(from) : `${from}, but ${to}`;
    test(`${statement} without ${change} fails ${caughtBy}`, async () => {
      const clause = clauses.find(({ id }) => id === caughtBy);
      expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
      const [first, second] = clients;
      const check = clause?.check({
        stores: [postgresStore(breaking(first, broken)), postgresStore(breaking(second, broken))],
        elapse: (ms, digests) => elapse(first, ms, digests),
      });
      await expect(check).rejects.toThrow();
    });
  }
});
