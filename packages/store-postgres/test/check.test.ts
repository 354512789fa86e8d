import { startPostgres } from "@idemkit/test-servers";
import type pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { type CheckOptions, migrate, postgresStore } from "../src/index.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";

const lenient = { durability: "process-kill" } as const;

async function migrated(options: pg.PoolConfig = {}) {
  const url = await database();
  const client = pool(url, onTestFinished, options);
  await migrate(client);
  return { client, url };
}

describe("check", () => {
  test("reports versions and durability", async () => {
    const { client } = await migrated();
    expect(await postgresStore(client).check(lenient)).toEqual({
      schemaVersion: 1,
      durability: "process-kill",
      serverVersion: expect.stringMatching(/^\d+/),
      fsync: "off",
      synchronousCommit: "on",
    });
  });

  test("finds that a server with its own settings keeps what it has acknowledged", async () => {
    const server = await startPostgres({ settings: { fsync: "on" } });
    onTestFinished(() => server.stop());
    const client = pool(server.url, onTestFinished);
    await migrate(client);
    expect(await postgresStore(client).check()).toMatchObject({ durability: "power-loss" });
    const hasty = pool(server.url, onTestFinished, { options: "-c synchronous_commit=off" });
    await expect(postgresStore(hasty).check()).rejects.toThrow(
      "An acknowledged outcome survives 'process-kill' and has to survive 'power-loss'",
    );
    await client.query("ALTER TABLE idemkit_records SET UNLOGGED");
    await expect(postgresStore(client).check()).rejects.toThrow("SET LOGGED");
  });

  const spoilt: readonly (readonly [string, string, string])[] = [
    ["a missing table", "DROP TABLE idemkit_records", "idemkit_records is missing: call"],
    [
      "a column of another type",
      "ALTER TABLE idemkit_records ALTER token TYPE integer",
      "The column token of idemkit_records is integer NOT NULL: it has to be bigint NOT NULL",
    ],
    [
      "a column that may be NULL",
      "ALTER TABLE idemkit_records ALTER owner DROP NOT NULL",
      "The column owner of idemkit_records is text: it has to be text NOT NULL",
    ],
    [
      "a column that no claim fills",
      "ALTER TABLE idemkit_records ADD tenant text NOT NULL",
      "has a column tenant that no claim fills",
    ],
    [
      "a missing primary key",
      "ALTER TABLE idemkit_records DROP CONSTRAINT idemkit_records_pkey",
      "lacks PRIMARY KEY (digest)",
    ],
    ["a missing index", "DROP INDEX idemkit_records_expires_at", "lacks its index on expires_at"],
    [
      "a column that ignores case",
      `CREATE COLLATION ci (provider = icu, deterministic = false, locale = 'und-u-ks-level2');
        ALTER TABLE idemkit_records ALTER owner TYPE text COLLATE ci`,
      "The column owner of idemkit_records is text that ignores case or accents NOT NULL",
    ],
    [
      "a primary key that is checked late",
      `ALTER TABLE idemkit_records DROP CONSTRAINT idemkit_records_pkey,
        ADD PRIMARY KEY (digest) DEFERRABLE`,
      "A claim on trial failed",
    ],
    [
      "a trigger that meddles with claims",
      `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.owner = 'x'; RETURN NEW; END $$;
      CREATE TRIGGER meddle BEFORE INSERT ON idemkit_records FOR EACH ROW EXECUTE FUNCTION meddle()`,
      "Claims on trial were not kept apart",
    ],
    ["a missing column", "ALTER TABLE idemkit_records DROP note", "lacks the column note text"],
    ["an older schema", "DELETE FROM idemkit_migrations", "Its schema has version 0 of 1"],
    ["a newer schema", "INSERT INTO idemkit_migrations VALUES (2)", "newer than this release"],
  ];
  for (const [what, statement, message] of spoilt) {
    test(`refuses ${what}`, async () => {
      const { client } = await migrated();
      await client.query(statement);
      await expect(postgresStore(client).check(lenient)).rejects.toThrow(message);
    });
  }

  test("refuses a user who may not write", async () => {
    const { client, url } = await migrated();
    const role = `reader_${new URL(url).pathname.slice(-6)}`;
    await client.query(`CREATE ROLE ${role} LOGIN; GRANT SELECT ON idemkit_records TO ${role};
      GRANT SELECT ON idemkit_migrations TO ${role}`);
    onTestFinished(async () => {
      await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
    const reader = new URL(url);
    reader.username = role;
    const refused = postgresStore(pool(String(reader), onTestFinished)).check(lenient);
    await expect(refused).rejects.toThrow("grant SELECT, INSERT, UPDATE, DELETE");
  });

  test("refuses a user from whom a policy hides the rows", async () => {
    const { client, url } = await migrated();
    const role = `tenant_${new URL(url).pathname.slice(-6)}`;
    await client.query(`CREATE ROLE ${role} LOGIN;
      GRANT SELECT, INSERT, UPDATE, DELETE ON idemkit_records, idemkit_migrations TO ${role};
      ALTER TABLE idemkit_records ENABLE ROW LEVEL SECURITY;
      CREATE POLICY writes ON idemkit_records FOR INSERT WITH CHECK (true)`);
    onTestFinished(async () => {
      await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
    const tenant = new URL(url);
    tenant.username = role;
    const refused = postgresStore(pool(String(tenant), onTestFinished)).check(lenient);
    await expect(refused).rejects.toThrow("on trial");
  });

  test("leaves nothing behind, though its claim on trial fails half-way", async () => {
    const { client } = await migrated();
    await postgresStore(client).check(lenient);
    expect((await client.query("SELECT * FROM idemkit_records")).rows).toEqual([]);
    await client.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'no updates here'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON idemkit_records FOR EACH ROW EXECUTE FUNCTION refuse()`);
    await expect(postgresStore(client).check(lenient)).rejects.toThrow("no updates here");
    expect((await client.query("SELECT * FROM idemkit_records")).rows).toEqual([]);
  });

  test("refuses a database that cannot hold every text", async () => {
    const { client, url } = await migrated();
    const name = `${new URL(url).pathname.slice(1)}_latin`;
    await client.query(
      `CREATE DATABASE ${name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
    );
    onTestFinished(async () => {
      await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    });
    const latin = new URL(url);
    latin.pathname = `/${name}`;
    const other = pool(String(latin), onTestFinished);
    await migrate(other);
    await expect(postgresStore(other).check(lenient)).rejects.toThrow("encoding is LATIN1");
  });

  test("refuses read-only transactions", async () => {
    const { url } = await migrated();
    const options = "-c default_transaction_read_only=on";
    const refused = postgresStore(pool(url, onTestFinished, { options })).check(lenient);
    await expect(refused).rejects.toThrow("Transactions are read-only");
  });

  test("refuses options that there are not", async () => {
    const store = postgresStore(pool(await database(), onTestFinished));
    await expect(store.check({ durable: 1 } as CheckOptions)).rejects.toThrow("no such option");
    await expect(store.check({ durability: "ever" as never })).rejects.toThrow(
      "durability: expected 'none' or 'process-kill' or 'power-loss'",
    );
  });

  test("takes columns that fill themselves", async () => {
    const { client } = await migrated();
    await client.query(`ALTER TABLE idemkit_records
      ADD row_id bigint GENERATED ALWAYS AS IDENTITY,
      ADD twice bigint NOT NULL GENERATED ALWAYS AS (token * 2) STORED,
      ADD seen timestamptz NOT NULL DEFAULT now()`);
    await postgresStore(client).check(lenient);
  });

  test("takes tables that were made by other means", async () => {
    const { client } = await migrated();
    await client.query("DROP TABLE idemkit_migrations");
    expect(await postgresStore(client).check(lenient)).not.toHaveProperty("schemaVersion");
  });
});
