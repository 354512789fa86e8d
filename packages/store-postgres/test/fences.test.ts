import { randomUUID } from "node:crypto";
import { clauses } from "@idemkit/conformance";
import type { Claim, ClaimRequest, Store } from "@idemkit/engine";
import { claimed, requestOf } from "@idemkit/test-servers";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate, type PgPool, postgresStore } from "../src/index.ts";
import type { Pair } from "../src/pairs.ts";
import * as statements from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";

const sql: Readonly<Record<string, unknown>> = { ...statements };

interface Break {
  readonly statement: keyof typeof statements;
  /** What is taken out of the statement, and what stands there instead. */
  readonly from: string | RegExp;
  readonly to: string;
  readonly caughtBy: string;
}

// Each condition of each statement, taken out: if no clause noticed, it would guard nothing.
const breaks: readonly Break[] = [
  {
    statement: "CLAIM_FOUND",
    from: /greatest\(stored\.token \+ 1, (.*)\),\n/,
    to: "$1,\n",
    caughtBy: "token.purge",
  },
  {
    statement: "CLAIM_FOUND",
    from: "note = NULL,",
    to: "note = stored.note,",
    caughtBy: "release.unknown",
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

type Config = Parameters<PgPool["query"]>[0] & { readonly name?: string };

/** A pool that is handed each statement before it is sent, and may send another. */
function intercepting(client: pg.Pool, change: (text: string) => string | Promise<string>): PgPool {
  return {
    totalCount: 0,
    connect: (callback) => client.connect(callback),
    query: async ({ name: _, ...unnamed }: Config) =>
      (await client.query({ ...unnamed, text: await change(unnamed.text) } as never)) as never,
  };
}

/** What sends one statement otherwise than it was written. */
function breaking({ statement, from, to, caughtBy }: Break): (text: string) => string {
  const whole = sql[statement] as string | Pair;
  const texts = typeof whole === "string" ? [whole] : [whole.one, whole.list];
  const pattern = typeof from === "string" ? from : new RegExp(from, "g");
  for (const text of texts) {
    expect(text.replaceAll(pattern, to), "the statement has changed: so must this table").not.toBe(
      text,
    );
  }
  return (text) => {
    const broken = texts.includes(text) ? text.replaceAll(pattern, to) : text;
    return caughtBy === "token.purge" ? onCoarseClock(broken) : broken;
  };
}

/** What a rival may do between the reading of a record and the claim over it. */
const rivals: readonly {
  readonly does: string;
  readonly statement: "CLAIM_FOUND" | "CLAIM_AGAIN";
  readonly condition: string;
  readonly act: (
    store: Store,
    claim: Claim,
    rival: ClaimRequest,
    client: pg.Pool,
  ) => Promise<unknown>;
}[] = [
  {
    does: "a rival has taken it over",
    statement: "CLAIM_FOUND",
    condition: "stored.token = request.found_token",
    // To the millisecond when the lease before it ended, so that nothing else tells them apart.
    act: async (store, { id }, rival, client) => {
      const ofRecord = "FROM idemkit_records WHERE digest = $1";
      const { rows } = await client.query(`SELECT lease_ends_at ${ofRecord}`, [id.digest]);
      await store.claim([rival]);
      const moved = "UPDATE idemkit_records SET lease_ends_at = $2 WHERE digest = $1";
      await client.query(moved, [id.digest, rows[0].lease_ends_at]);
    },
  },
  {
    does: "its owner has completed it",
    statement: "CLAIM_FOUND",
    condition: "stored.status = request.found_status",
    act: (store, claim) => store.complete([{ ...claim, status: "succeeded", body: "late" }]),
  },
  {
    does: "its owner has renewed it",
    statement: "CLAIM_FOUND",
    condition: "stored.lease_ends_at = request.found_lease_ends_at",
    act: (store, claim) => store.renew([{ ...claim, leaseMs: 60_000 }]),
  },
  {
    does: "a rival has taken it over",
    statement: "CLAIM_AGAIN",
    condition: "stored.owner = request.owner",
    act: (store, _, rival) => store.claim([rival]),
  },
];

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
    const title = to === "" ? String(from) : `${from}, but ${to}`;
    test(`${statement} without ${title} fails ${caughtBy}`, async () => {
      const change = breaking(broken);
      const store = (client: pg.Pool) => postgresStore(intercepting(client, change));
      const clause = clauses.find(({ id }) => id === caughtBy);
      expect(clause, `no clause is called ${caughtBy}`).toBeDefined();
      const [first, second] = clients;
      const check = clause?.check({
        stores: [store(first), store(second)],
        elapse: (ms, digests) => elapse(first, ms, digests),
      });
      await expect(check).rejects.toThrow();
    });
  }

  for (const { does, statement, condition, act } of rivals) {
    const claimsAfterAct = async (change: (text: string) => string) => {
      const [first, second] = clients;
      const sound = postgresStore(second);
      const request = requestOf(randomUUID(), { leaseMs: 0, takeOver: true });
      const [claim = expect.fail("not claimed")] = await claimed(sound, [request]);
      const { one, list } = sql[statement] as Pair;
      let isOver = false;
      const interrupted = intercepting(first, async (text) => {
        if (!isOver && (text === one || text === list)) {
          isOver = true;
          await act(sound, claim, { ...request, owner: "rival", leaseMs: 60_000 }, second);
        }
        return change(text);
      });
      const owner = statement === "CLAIM_AGAIN" ? request.owner : "other";
      const [answer] = await postgresStore(interrupted).claim([{ ...request, owner }]);
      expect(isOver).toBe(true);
      return answer;
    };

    // Where a claim was refused, the next round may take the record over, as one attempt more.
    const overlooked = { outcome: "claimed", ...(statement === "CLAIM_FOUND" && { attempt: 2 }) };
    test(`${statement} claims no record when meanwhile ${does}`, async () => {
      const broken = { statement, from: condition, to: "true", caughtBy: "this test" };
      expect(await claimsAfterAct((text) => text)).not.toMatchObject(overlooked);
      expect(await claimsAfterAct(breaking(broken))).toMatchObject(overlooked);
    });
  }

  test("CLAIM_FOUND hands over no checkpoint that an operator has removed meanwhile", async () => {
    const condition = "AND stored.checkpoint_revision IS NOT DISTINCT FROM request.found_revision";
    const handedOver = async (change: (text: string) => string) => {
      const [first, second] = clients;
      const sound = postgresStore(second);
      const request = requestOf(randomUUID(), { checkpoint: "half done" });
      const [claim = expect.fail("not claimed")] = await claimed(sound, [request]);
      await sound.release([claim]);
      const interrupted = intercepting(first, async (text) => {
        if (text === statements.CLAIM_FOUND.one) await sound.remove(claim.id, claim.token);
        return change(text);
      });
      const [answer] = await postgresStore(interrupted).claim([
        { ...request, owner: "other", checkpoint: "anew" },
      ]);
      expect(answer?.outcome).toBe("claimed");
      return (await sound.read([claim.id]))[0]?.checkpoint?.value;
    };
    const broken = { statement: "CLAIM_FOUND", from: condition, to: "", caughtBy: "this" } as const;
    expect(await handedOver(breaking(broken))).toBe("half done");
    expect(await handedOver((text) => text)).toBe("anew");
  });
});
