import { randomUUID } from "node:crypto";
import { clauses } from "@idemkit/conformance";
import type { Claim, ClaimRequest, Store } from "@idemkit/engine";
import { claimed, requestOf } from "@idemkit/test-servers";
import type { Pool, RowDataPacket } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import type { Pair } from "../src/pairs.ts";
import * as sql from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database, servers } from "./database.ts";
import { intercepting } from "./intercepting.ts";

/** The beginning of each statement, which tells it from the others. */
const texts = {
  CLAIM_AGAIN: textsOf(sql.CLAIM_AGAIN),
  CLAIM_FOUND: textsOf(sql.CLAIM_FOUND),
  RENEW: textsOf(sql.RENEW),
  COMPLETE: textsOf(sql.COMPLETE),
  RELEASE: textsOf(sql.RELEASE),
  REMOVE: textsOf(sql.REMOVE),
  LIST: textsOf(sql.list(0)),
  DUE: [sql.due(0)],
  PURGE: textsOf(sql.PURGE),
} as const;

function textsOf({ one, list }: Pair): readonly string[] {
  return [one, list];
}

interface Break {
  readonly statement: keyof typeof texts;
  /** What is taken out of the statement, and what stands there instead. */
  readonly from: string | RegExp;
  readonly to: string;
  readonly caughtBy: string;
}

const OWNER = /record\.owner = (\?|request\.`owner`)/;
const TOKEN = /record\.token = (CAST\([^)]* AS SIGNED\))/;
/** The parameter stays, and decides nothing. */
const ANY = "$1 IS NOT NULL";
const OPEN = "AND record.status IN ('claimed', 'unknown')";
const EXPIRED = "AND record.status IN ('succeeded', 'failed', 'released')";

// Each condition of each statement, taken out: if no clause noticed, it would guard nothing. Where a
// clause cannot come between reading and writing, `rivals` do, below.
const breaks: readonly Break[] = [
  {
    statement: "CLAIM_FOUND",
    from: /GREATEST\(record\.token \+ 1, (.*)\),\n/,
    to: "$1,\n",
    caughtBy: "token.purge",
  },
  {
    statement: "CLAIM_FOUND",
    from: "record.note = NULL,",
    to: "record.note = record.note,",
    caughtBy: "release.unknown",
  },
  { statement: "RENEW", from: OWNER, to: ANY, caughtBy: "renew.fence" },
  { statement: "RENEW", from: TOKEN, to: ANY, caughtBy: "renew.token" },
  { statement: "RENEW", from: "AND record.status = 'claimed'", to: "", caughtBy: "renew.ended" },
  {
    statement: "RENEW",
    from: />\s*COALESCE\(record\.checkpoint_revision, -1\)/,
    to: "IS NOT NULL",
    caughtBy: "renew.checkpoint",
  },
  { statement: "COMPLETE", from: OWNER, to: ANY, caughtBy: "complete.fence" },
  { statement: "COMPLETE", from: TOKEN, to: ANY, caughtBy: "complete.token" },
  { statement: "COMPLETE", from: OPEN, to: "", caughtBy: "complete.first-wins" },
  {
    statement: "COMPLETE",
    from: /AND \(NOT (.*) OR record\.status = 'unknown' OR .*\)$/m,
    to: "AND $1 IS NOT NULL",
    caughtBy: "complete.if-lapsed",
  },
  {
    statement: "COMPLETE",
    from: "OR record.status = 'unknown'",
    to: "",
    caughtBy: "complete.if-lapsed",
  },
  {
    statement: "COMPLETE",
    from: "GREATEST(record.expires_at, ",
    to: "LEAST(record.expires_at, ",
    caughtBy: "complete.retention",
  },
  { statement: "RELEASE", from: OWNER, to: ANY, caughtBy: "release.fence" },
  { statement: "RELEASE", from: TOKEN, to: ANY, caughtBy: "release.token" },
  { statement: "RELEASE", from: OPEN, to: "", caughtBy: "release.fence" },
  { statement: "REMOVE", from: TOKEN, to: ANY, caughtBy: "remove.token" },
  {
    statement: "LIST",
    from: /record\.digest > (\S+)/,
    to: "$1 IS NOT NULL",
    caughtBy: "list.pages",
  },
  { statement: "DUE", from: /LIMIT \d+/, to: "LIMIT 1000", caughtBy: "purge.expired" },
];

/** Conditions that stand both where due records are read and where they are deleted. */
const due: readonly (readonly [string | RegExp, string, string])[] = [
  [EXPIRED, "", "purge.not-due"],
  [/record\.expires_at <= [^\n]*\n/, "TRUE\n", "purge.not-due"],
];

/** A clock that stands still for a second: tokens get ahead of it on any machine. */
function onCoarseClock(text: string): string {
  return text.replaceAll("UTC_TIMESTAMP(6)", "UTC_TIMESTAMP(0)");
}

/** What sends one statement otherwise than it was written. */
function breaking({ statement, from, to, caughtBy }: Break): (text: string) => string {
  const pattern = typeof from === "string" ? from : new RegExp(from, "gm");
  const withoutLimit = (text: string) => text.replace(/LIMIT \d+/, "LIMIT");
  const known = texts[statement].map(withoutLimit);
  for (const text of texts[statement]) {
    expect(text.replaceAll(pattern, to), "the statement has changed: so must this table").not.toBe(
      text,
    );
  }
  return (text) => {
    const broken = known.includes(withoutLimit(text)) ? text.replaceAll(pattern, to) : text;
    return caughtBy === "token.purge" ? onCoarseClock(broken) : broken;
  };
}

/** An error and what caused it, link by link. */
function causes(error: unknown): readonly object[] {
  return error instanceof Error ? [error, ...causes(error.cause)] : [];
}

/** What a rival may do between the reading of a record and the claim over it. */
const rivals: readonly {
  readonly does: string;
  readonly statement: "CLAIM_FOUND" | "CLAIM_AGAIN";
  readonly condition: RegExp;
  readonly act: (store: Store, claim: Claim, rival: ClaimRequest, pool: Pool) => Promise<unknown>;
}[] = [
  {
    does: "a rival has taken it over",
    statement: "CLAIM_FOUND",
    condition: TOKEN,
    // To the millisecond when the lease before it ended, so that nothing else tells them apart.
    act: async (store, { id }, rival, client) => {
      const ofRecord = "idemkit_records WHERE digest = UNHEX(?)";
      const [[row] = []] = await client.query<RowDataPacket[]>(
        `SELECT lease_ends_at FROM ${ofRecord}`,
        [id.digest],
      );
      await store.claim([rival]);
      const moved = "UPDATE idemkit_records SET lease_ends_at = ? WHERE digest = UNHEX(?)";
      await client.query(moved, [row?.lease_ends_at, id.digest]);
    },
  },
  {
    does: "its owner has completed it",
    statement: "CLAIM_FOUND",
    condition: /record\.status = (\?|request\.`found_status`)/,
    act: (store, claim) => store.complete([{ ...claim, status: "succeeded", body: "late" }]),
  },
  {
    does: "its owner has renewed it",
    statement: "CLAIM_FOUND",
    condition: /record\.lease_ends_at = (CAST\([^)]*found[^)]* AS SIGNED\)|CAST\(\? AS SIGNED\)$)/,
    act: (store, claim) => store.renew([{ ...claim, leaseMs: 60_000 }]),
  },
  {
    does: "a rival has taken it over",
    statement: "CLAIM_AGAIN",
    condition: OWNER,
    act: (store, _, rival) => store.claim([rival]),
  },
];

describe.each(servers)("on %s each condition of the statements guards something", (_, server) => {
  let clients: readonly [Pool, Pool];
  const undos: (() => Promise<void>)[] = [];
  const cleanUp = (undo: () => Promise<void>) => void undos.unshift(undo);
  beforeAll(async () => {
    const url = await database(server, cleanUp);
    clients = [pool(url, cleanUp), pool(url, cleanUp)];
    await migrate(clients[0]);
  });
  afterAll(async () => {
    for (const undo of undos) await undo();
  });

  const failsClause = async (caughtBy: string, change: (text: string) => string) => {
    const clause = clauses.find(({ id }) => id === caughtBy);
    expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
    const [first, second] = clients;
    const store = (client: Pool) => mysqlStore(intercepting(client, change));
    const check = clause?.check({
      stores: [store(first), store(second)],
      elapse: (ms, digests) => elapse(first, ms, digests),
    });
    const error = await check?.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Error);
    // A statement that the server does not understand proves nothing.
    expect(causes(error).filter((cause) => "errno" in cause)).toEqual([]);
  };

  for (const broken of breaks) {
    const { statement, from, to, caughtBy } = broken;
    test(`${statement} with ${to || "nothing"} for ${from} fails ${caughtBy}`, async () => {
      await failsClause(caughtBy, breaking(broken));
    });
  }

  for (const [from, to, caughtBy] of due) {
    test(`DUE and PURGE with ${to.trim() || "nothing"} for ${from} fail ${caughtBy}`, async () => {
      const [reads, deletes] = (["DUE", "PURGE"] as const).map((statement) =>
        breaking({ statement, from, to, caughtBy }),
      );
      await failsClause(caughtBy, (text) => reads?.(deletes?.(text) ?? "") ?? "");
    });
  }

  for (const { does, statement, condition, act } of rivals) {
    const claimsAfterAct = async (change: (text: string) => string) => {
      const [first, second] = clients;
      const sound = mysqlStore(second);
      const request = requestOf(randomUUID(), { leaseMs: 0, takeOver: true });
      const [claim = expect.fail("not claimed")] = await claimed(sound, [request]);
      let isOver = false;
      const interrupted = intercepting(first, async (text) => {
        if (!isOver && texts[statement].includes(text)) {
          isOver = true;
          await act(sound, claim, { ...request, owner: "rival", leaseMs: 60_000 }, second);
        }
        return change(text);
      });
      const owner = statement === "CLAIM_AGAIN" ? request.owner : "other";
      const asked = { ...request, owner, leaseMs: 30_000 };
      const [answer] = await mysqlStore(interrupted).claim([asked]);
      expect(isOver).toBe(true);
      const [view] = await sound.read([request.id]);
      return { ...answer, leaseRemainingMs: view?.leaseRemainingMs };
    };

    test(`${statement} writes nothing when meanwhile ${does}`, async () => {
      const broken = { statement, from: condition, to: ANY, caughtBy: "this test" };
      const sound = await claimsAfterAct((text) => text);
      const wrong = await claimsAfterAct(breaking(broken));
      if (statement === "CLAIM_FOUND") {
        // Where a claim was refused, the next round may take the record over, as one attempt more.
        expect(sound).not.toMatchObject({ outcome: "claimed", attempt: 2 });
        expect(wrong).toMatchObject({ outcome: "claimed", attempt: 2 });
      } else {
        expect(sound.leaseRemainingMs).toBeGreaterThan(30_000);
        expect(wrong.leaseRemainingMs).toBeLessThanOrEqual(30_000);
      }
    });
  }

  test("CLAIM_FOUND hands over no checkpoint that an operator has removed meanwhile", async () => {
    const handedOver = async (change: (text: string) => string) => {
      const [first, second] = clients;
      const sound = mysqlStore(second);
      const request = requestOf(randomUUID(), { checkpoint: "half done" });
      const [claim = expect.fail("not claimed")] = await claimed(sound, [request]);
      await sound.release([claim]);
      const interrupted = intercepting(first, async (text) => {
        if (texts.CLAIM_FOUND.includes(text)) await sound.remove(claim.id, claim.token);
        return change(text);
      });
      const [answer] = await mysqlStore(interrupted).claim([
        { ...request, owner: "other", checkpoint: "anew" },
      ]);
      expect(answer?.outcome).toBe("claimed");
      return (await sound.read([claim.id]))[0]?.checkpoint?.value;
    };
    const from = /record\.checkpoint_revision <=> (CAST\([^)]* AS SIGNED\))/;
    const to = "($1 IS NULL OR TRUE)";
    const broken = { statement: "CLAIM_FOUND", from, to, caughtBy: "this test" } as const;
    expect(await handedOver(breaking(broken))).toBe("half done");
    expect(await handedOver((text) => text)).toBe("anew");
  });
});
