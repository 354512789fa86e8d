import { readFileSync } from "node:fs";
import { claimed, requestOf } from "@idemkit/test-servers";
import { createPool, type Pool, type RowDataPacket } from "mysql2/promise";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import { pool } from "./clients.ts";
import { database, servers } from "./database.ts";

const HOUR_S = 3_600;
/** When summer time ends: the hour before and the hour after it have one name in the zone below. */
const FOLD_S = Date.UTC(2025, 9, 26, 1) / 1_000;
const ZONE = "idemkit/fold";

const operating = new URL("../../../docs/operating.md", import.meta.url);
const [, block = ""] =
  /^MySQL and MariaDB\b.*?```sql\n(.*?)```/ms.exec(readFileSync(operating, "utf8")) ?? [];
const [open = "", decisions = ""] = block.split(";\n");

/** Makes a time zone that the server may not have: two hours ahead of UTC until the fold, then one. */
async function makeZone(server: string): Promise<void> {
  const url = new URL(server);
  url.pathname = "/mysql";
  const admin = createPool(String(url));
  await admin.query("INSERT INTO time_zone (Use_leap_seconds) VALUES ('N')");
  const [[row]] = await admin.query<RowDataPacket[]>(
    "SELECT MAX(Time_zone_id) AS id FROM time_zone",
  );
  const id: number = row?.id;
  onTestFinished(async () => {
    for (const table of ["name", "transition", "transition_type"]) {
      await admin.query(`DELETE FROM time_zone_${table} WHERE Time_zone_id = ${id}`);
    }
    await admin.query(`DELETE FROM time_zone WHERE Time_zone_id = ${id}`);
    await admin.end();
  });
  await admin.query(`INSERT INTO time_zone_name (Name, Time_zone_id) VALUES ('${ZONE}', ${id})`);
  await admin.query(`INSERT INTO time_zone_transition_type VALUES
    (${id}, 0, ${2 * HOUR_S}, 1, 'S'), (${id}, 1, ${HOUR_S}, 0, 'W')`);
  await admin.query(`INSERT INTO time_zone_transition VALUES
    (${id}, ${FOLD_S - 5_000 * HOUR_S}, 0), (${id}, ${FOLD_S}, 1)`);
}

async function rows(client: Pool, statement: string): Promise<readonly RowDataPacket[]> {
  return (await client.query<RowDataPacket[]>(statement))[0];
}

describe.each(servers)("on %s the runbook", (_version, server) => {
  test("finds open records in the hour that comes twice, as in any other time zone", async () => {
    await makeZone(server);
    const client = pool(await database(server), onTestFinished, { connectionLimit: 1 });
    await migrate(client);
    const store = mysqlStore(client);
    // A quarter past the fold, to the second: the hour's name was used for an hour before it already.
    const nowS = FOLD_S + HOUR_S / 4;
    await client.query(`SET time_zone = '${ZONE}', timestamp = ${nowS}`);
    const shown = await rows(
      client,
      "SELECT CAST(NOW() AS CHAR) AS local, UNIX_TIMESTAMP(NOW()) AS s",
    );
    expect(shown).toMatchObject([{ local: "2025-10-26 02:15:00", s: nowS - HOUR_S }]);
    const lapsed = requestOf("lapsed", { leaseMs: 1 });
    await claimed(store, [lapsed, requestOf("running", { leaseMs: 60_000 })]);
    await client.query(`SET timestamp = ${nowS + 1}`);
    const expected = {
      digest: lapsed.id.digest,
      scope: "4:test",
      key: "lapsed",
      status: "claimed",
      attempt: 1,
      lease_ends_utc: "2025-10-26 01:15:00.001000",
      checkpoint: null,
    };
    for (const zone of [ZONE, "+00:00", "-11:00"]) {
      await client.query(`SET time_zone = '${zone}'`);
      expect(await rows(client, open)).toEqual([expected]);
      expect((await store.list({ state: "lapsed", limit: 9 })).records).toHaveLength(1);
    }
  });

  test("shows decisions with their time in UTC", async () => {
    const client = pool(await database(server), onTestFinished, { connectionLimit: 1 });
    await migrate(client);
    const store = mysqlStore(client);
    await client.query(`SET time_zone = '+05:00', timestamp = ${FOLD_S}.5`);
    const [claim] = await claimed(store, [requestOf("k")]);
    if (claim === undefined) throw new Error("expected a claim");
    const note = JSON.stringify({ by: "olga", why: "ticket 812" });
    await store.complete([{ ...claim, status: "succeeded", body: "b", note }]);
    expect(await rows(client, decisions)).toEqual([
      {
        scope: "4:test",
        key: "k",
        status: "succeeded",
        at_utc: "2025-10-26 01:00:00.500000",
        by: "olga",
        why: "ticket 812",
      },
    ]);
  });
});
