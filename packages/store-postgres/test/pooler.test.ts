import { createEngine } from "@idemkit/engine";
import { requestOf, startPgBouncer, type TestServer } from "@idemkit/test-servers";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { migrate, type PgPool, postgresStore } from "../src/index.ts";
import { clients, pool, sql } from "./clients.ts";
import { database } from "./database.ts";

const lenient = { durability: "process-kill" } as const;
const ADVICE = "say `postgresStore(client, { prepare: false })`";
const CALLS = 40;

describe("behind a pooler that shares its connections between transactions", () => {
  let bouncer: TestServer;
  beforeAll(async () => {
    bouncer = await startPgBouncer(inject("postgresUrl"));
  });
  afterAll(() => bouncer.stop());

  /** A new database with idemkit's tables, by way of the pooler. */
  async function migrated(): Promise<string> {
    const url = await database();
    await migrate(pool(url, onTestFinished));
    const pooled = new URL(bouncer.url);
    pooled.pathname = new URL(url).pathname;
    return String(pooled);
  }

  for (const [name, connect] of Object.entries(clients)) {
    test(`check refuses prepared statements on ${name}, and names the option`, async () => {
      const store = postgresStore(connect(await migrated(), onTestFinished));
      await expect(store.check(lenient)).rejects.toThrow(ADVICE);
    });

    test(`calls and transactions work on ${name} without prepared statements`, async () => {
      const client = connect(await migrated(), onTestFinished);
      const store = postgresStore(client, { prepare: false });
      await store.check(lenient);
      const engine = createEngine({ store });
      const results = await Promise.all(
        Array.from({ length: CALLS }, (_, index) =>
          index % 2 === 0
            ? engine.execute("s", `k${index}`, null, async () => index)
            : engine.transaction("s", `k${index}`, null, async () => index),
        ),
      );
      expect(results.map(({ value }) => value)).toEqual(results.map((_, index) => index));
    });
  }

  test("a call that meets another connection's statement says which option helps", async () => {
    const url = await migrated();
    const [first, second] = [1, 2].map(() => postgresStore(pool(url, onTestFinished, { max: 1 })));
    await first?.claim([requestOf("a")]);
    await expect(second?.claim([requestOf("b")])).rejects.toMatchObject({
      message: expect.stringContaining(ADVICE),
      cause: { code: "42P05" },
    });
  });
});

describe("check", () => {
  for (const [name, connect] of Object.entries({ pg: pool, "postgres.js": sql })) {
    test(`takes a client of one connection on ${name}, which stays usable`, async () => {
      const url = await database();
      await migrate(pool(url, onTestFinished));
      const client =
        connect === pool ? pool(url, onTestFinished, { max: 1 }) : sql(url, onTestFinished, 1);
      const store = postgresStore(client);
      await store.check(lenient);
      expect(await store.claim([requestOf("k")])).toMatchObject([{ outcome: "claimed" }]);
    });
  }
});

describe("an error about a statement's name comes with the option that helps", () => {
  async function claimThrough(
    change: (
      client: PgPool,
      config: Parameters<PgPool["query"]>[0],
    ) => Promise<Parameters<PgPool["query"]>[0]>,
  ) {
    const client = pool(await database(), onTestFinished, { max: 1 });
    await migrate(client);
    const changing: PgPool = {
      totalCount: 0,
      connect: (callback) => client.connect(callback),
      query: async (config) => client.query((await change(client, config)) as never) as never,
    };
    const store = postgresStore(changing);
    await store.claim([requestOf("a")]);
    return store.claim([requestOf("b")]);
  }

  test("where it does not know the name", async () => {
    const claim = claimThrough(async (client, config) => {
      await client.query({ text: "DEALLOCATE ALL", rowMode: "array" });
      return config;
    });
    await expect(claim).rejects.toMatchObject({
      message: expect.stringContaining(ADVICE),
      cause: { code: "26000" },
    });
  });

  test("where the name stands for other parameters", async () => {
    let sent = 0;
    const claim = claimThrough(async (_, config) => {
      sent += 1;
      return sent === 1 ? config : { ...config, values: [] };
    });
    await expect(claim).rejects.toMatchObject({
      message: expect.stringContaining(ADVICE),
      cause: { code: "08P01" },
    });
  });
});
