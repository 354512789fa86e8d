import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createEngine } from "@idemkit/engine";
import { startProxy } from "@idemkit/test-servers";
import { drizzle } from "drizzle-orm/node-postgres";
import { getTableConfig } from "drizzle-orm/pg-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { idemkitRecords } from "../src/drizzle.ts";
import { migrate, migrations, postgresStore } from "../src/index.ts";
import { clients, pool, sql } from "./clients.ts";
import { database } from "./database.ts";

const sqlFolder = new URL("../sql/", import.meta.url);

async function onNewDatabase() {
  return pool(await database(), onTestFinished, { max: 20 });
}

describe("migrate", () => {
  for (const [name, connect] of Object.entries({ pg: pool, "postgres.js": sql })) {
    test(`may be called by twenty at once on ${name}: one does the work`, async () => {
      const client = connect(await database(), onTestFinished);
      const applied = await Promise.all(
        Array.from({ length: 20 }, () => migrate(client, { schema: "idem" })),
      );
      expect(applied.filter((versions) => versions.length > 0)).toEqual([[1]]);
    });
  }

  test("does nothing the second time, through whatever client", async () => {
    const url = await database();
    await migrate(pool(url, onTestFinished));
    for (const connect of Object.values(clients)) {
      expect(await migrate(connect(url, onTestFinished))).toEqual([]);
    }
  });

  test("refuses a database that a newer release has migrated", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("INSERT INTO idemkit_migrations VALUES (2)");
    await expect(migrate(client)).rejects.toThrow("a newer release has migrated it");
  });

  test("undoes what it began when it fails", async () => {
    const client = await onNewDatabase();
    await client.query("CREATE TABLE idemkit_records_expires_at (a int)");
    await expect(migrate(client)).rejects.toThrow("already exists");
    const { rows } = await client.query(
      "SELECT relname FROM pg_class WHERE relname LIKE 'idemkit%'",
    );
    expect(rows).toEqual([{ relname: "idemkit_records_expires_at" }]);
  });

  test("makes a table again that was dropped by hand", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("DROP TABLE idemkit_records");
    expect(await migrate(client)).toEqual([1]);
    await postgresStore(client).check({ durability: "process-kill" });
  });

  test("needs no right but to read where there is nothing to do", async () => {
    const url = await database();
    const client = pool(url, onTestFinished);
    await migrate(client);
    const role = `reader_${new URL(url).pathname.slice(-6)}`;
    await client.query(`CREATE ROLE ${role} LOGIN; GRANT SELECT ON idemkit_migrations TO ${role}`);
    onTestFinished(async () => {
      await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
    const reader = new URL(url);
    reader.username = role;
    expect(await migrate(pool(String(reader), onTestFinished))).toEqual([]);
  });

  const unfit: readonly (readonly [string, string, string])[] = [
    [
      "lacks a column",
      "ALTER TABLE idemkit_records DROP owner",
      '"public".idemkit_records lacks the column owner text NOT NULL.',
    ],
    [
      "has a column of another type",
      "ALTER TABLE idemkit_records ALTER digest TYPE text",
      'The column digest of "public".idemkit_records is text NOT NULL: it has to be uuid NOT NULL.',
    ],
    [
      "has a column that no claim fills",
      "ALTER TABLE idemkit_records ADD tenant text NOT NULL",
      '"public".idemkit_records has a column tenant that no claim fills: it is NOT NULL without default.',
    ],
    [
      "has no primary key",
      "ALTER TABLE idemkit_records DROP CONSTRAINT idemkit_records_pkey",
      '"public".idemkit_records lacks PRIMARY KEY (digest).',
    ],
    [
      "is another application's",
      "DROP TABLE idemkit_records; CREATE TABLE idemkit_records (id serial PRIMARY KEY, name text)",
      '"public".idemkit_records lacks PRIMARY KEY (digest). "public".idemkit_records lacks the column digest',
    ],
    [
      "is a view",
      "DROP TABLE idemkit_records; CREATE VIEW idemkit_records AS SELECT 1 AS one",
      '"public".idemkit_records lacks PRIMARY KEY (digest).',
    ],
  ];
  const noted = { "not noted": "DROP TABLE idemkit_migrations", "noted as made": "SELECT" };
  for (const [what, statement, message] of unfit) {
    for (const [how, forget] of Object.entries(noted)) {
      test(`refuses a table that ${what}, ${how}, and leaves it as it is`, async () => {
        const client = await onNewDatabase();
        await migrate(client);
        await client.query(`${statement}; ${forget}`);
        const catalog = `SELECT relname, attname, atttypid FROM pg_attribute
          JOIN pg_class ON pg_class.oid = attrelid
          WHERE relname LIKE 'idemkit%' AND attnum > 0 ORDER BY relname, attnum`;
        const before = await client.query(catalog);
        await expect(migrate(client)).rejects.toThrow(
          'There is a table "public".idemkit_records that cannot',
        );
        await expect(migrate(client)).rejects.toThrow(message);
        expect((await client.query(catalog)).rows).toEqual(before.rows);
      });
    }
  }

  test("leaves tables alone that were made by other means", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("DROP TABLE idemkit_migrations");
    expect(await migrate(client)).toEqual([]);
    await postgresStore(client).check({ durability: "process-kill" });
  });

  test("goes on where the tables are, though another schema comes first by now", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("CREATE SCHEMA test");
    expect(await migrate(client)).toEqual([]);
    const { rows } = await client.query(
      "SELECT schemaname FROM pg_tables WHERE tablename ~ 'idemkit'",
    );
    expect(rows.map(({ schemaname }) => schemaname)).toEqual(["public", "public"]);
  });

  test("finds tables in a schema whose name needs quotes", async () => {
    const url = await database();
    const name = 'My "own" $&';
    const quoted = `"${name.replaceAll('"', '""')}"`;
    await pool(
      url,
      onTestFinished,
    ).query(`CREATE SCHEMA ${quoted}; ALTER ROLE CURRENT_USER IN DATABASE
      ${new URL(url).pathname.slice(1)} SET search_path TO ${quoted}`);
    const client = pool(url, onTestFinished);
    expect(await migrate(client)).toEqual([1]);
    expect(await migrate(client)).toEqual([]);
    await postgresStore(client).check({ durability: "process-kill" });
  });

  test("may be called by many at once under a stricter default isolation", async () => {
    const options = "-c default_transaction_isolation=serializable";
    const client = pool(await database(), onTestFinished, { options });
    const applied = await Promise.all(Array.from({ length: 8 }, () => migrate(client)));
    expect(applied.flat()).toEqual([1]);
  });

  test("rejects, and no more, when its connection is cut", async () => {
    const url = await database();
    const blocker = pool(url, onTestFinished);
    const client = await blocker.connect();
    await client.query("SELECT pg_advisory_lock(1768187245)");
    const proxy = await startProxy(url);
    const refused = expect(migrate(pool(proxy.url, onTestFinished))).rejects.toThrow(/terminat/);
    const waiting =
      "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";
    await expect.poll(async () => (await client.query(waiting)).rows[0]?.n).toBe(1);
    await proxy.stop();
    await refused;
    client.release(true);
  });

  test("refuses a schema that is no plain name", async () => {
    const refused = migrate(await onNewDatabase(), { schema: "a b" });
    await expect(refused).rejects.toThrow("schema: expected a name");
  });

  test("has the same text as the reviewed files in sql/", () => {
    const files = readdirSync(fileURLToPath(sqlFolder)).sort();
    expect(files).toHaveLength(migrations.length);
    for (const [index, { version, statements }] of migrations.entries()) {
      const file = files[index] ?? "";
      expect(Number(file.slice(0, 4))).toBe(version);
      expect(readFileSync(new URL(file, sqlFolder), "utf8")).toBe(statements.join("\n"));
    }
  });
});

describe("the drizzle schema", () => {
  test("has the columns of the table, one by one", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    const { rows } = await client.query({
      text: `SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = 'idemkit_records'::regclass AND attnum > 0 ORDER BY attnum`,
      rowMode: "array",
    });
    const { name, columns, indexes } = getTableConfig(idemkitRecords);
    expect(name).toBe("idemkit_records");
    expect(columns.map((column) => [column.name, column.getSQLType(), column.notNull])).toEqual(
      rows,
    );
    expect(indexes.map(({ config }) => config.name)).toEqual(["idemkit_records_expires_at"]);
  });

  test("reads what the store wrote", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    const engine = createEngine({ store: postgresStore(client) });
    await engine.execute(["tenant"], "k", null, () => ({ id: 1 }));
    const [record] = await drizzle({ client }).select().from(idemkitRecords);
    expect(record).toMatchObject({
      scope: "6:tenant",
      key: "k",
      status: "succeeded",
      takenOver: false,
      createdAt: expect.any(Number),
      body: 'json:{"id":1}',
    });
  });
});
