import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { startProxy } from "@idemkit/test-servers";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { Shop } from "../src/shop.ts";
import type { DeltaAnswer } from "../src/stock.ts";
import { promises } from "./promises.ts";

/** Turns of the event loop that one round trip may take. */
const TURNS_MAX = 1_000_000;
const lines = [
  { product: "T1", location: "north", quantity: 1 },
  { product: "T1", location: "south", quantity: 2 },
];

describe("on Postgres", () => {
  const server = inject("postgresUrl");
  const names: string[] = [];
  let admin: pg.Pool;
  beforeAll(() => {
    admin = new pg.Pool({ connectionString: server });
  });
  afterAll(async () => {
    for (const name of names) await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });

  async function newDatabase(): Promise<string> {
    const name = `idemkit_${randomBytes(6).toString("hex")}`;
    await admin.query(`CREATE DATABASE ${name}`);
    names.push(name);
    const url = new URL(server);
    url.pathname = `/${name}`;
    return String(url);
  }

  promises(newDatabase);

  test("a delta is applied once, whichever answer of the server is lost", async () => {
    const proxy = await startProxy(await newDatabase());
    const shop = await Shop.open(proxy.url);
    onTestFinished(async () => {
      await shop.close();
      await proxy.stop();
    });
    const send = (idempotencyKey: string) =>
      shop.inventory.ingestStock("bern", { mode: "delta", idempotencyKey, lines });
    await send("warm");
    proxy.reset();
    await send("counted");
    const roundTrips = proxy.roundTrips;
    const answers: DeltaAnswer[] = [];
    for (let lost = 1; lost <= roundTrips; lost += 1) {
      proxy.reset();
      const sent = send(`lost-${lost}`);
      for (let turns = 0; turns < TURNS_MAX && proxy.roundTrips < lost; turns += 1) await turn();
      proxy.loseAnswers(1);
      answers.push(await sent);
    }
    const applied = { lines_applied: 2, lines_deduped: 0, lines_conflicting: 0 };
    const deduped = { lines_applied: 0, lines_deduped: 2, lines_conflicting: 0 };
    // The last answer is that of the commit: only then had it happened.
    expect(answers).toEqual([...Array.from({ length: roundTrips - 1 }, () => applied), deduped]);
    const stock = await shop.inventory.queries.all("SELECT quantity FROM stock ORDER BY location");
    expect(stock).toEqual([1, 2].map((each) => ({ quantity: each * (roundTrips + 2) })));
  });
});
