import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createEngine } from "@idemkit/engine";
import { startProxy } from "@idemkit/test-servers";
import { getTableConfig } from "drizzle-orm/mysql-core";
import { drizzle } from "drizzle-orm/mysql2";
import type { RowDataPacket } from "mysql2/promise";
import { describe, expect, onTestFinished, test } from "vitest";
import { idemkitRecords } from "../src/drizzle.ts";
import { migrate, migrations, mysqlStore } from "../src/index.ts";
import { clients, pool } from "./clients.ts";
import { database, once, servers } from "./database.ts";

const sqlFolder = new URL("../sql/", import.meta.url);
const lenient = { durability: "process-kill" } as const;

const unfit: readonly (readonly [string, readonly string[], string])[] = [
  [
    "lacks a column",
    ["ALTER TABLE idemkit_records DROP owner"],
    "idemkit_records lacks the column owner varbinary(255) NOT NULL.",
  ],
  [
    "has a column of another type",
    ["ALTER TABLE idemkit_records MODIFY digest binary(32) NOT NULL"],
    "The column digest of idemkit_records is binary(32) NOT NULL: it has to be binary(16) NOT NULL.",
  ],
  [
    "has a column that no claim fills",
    ["ALTER TABLE idemkit_records ADD tenant int NOT NULL"],
    "idemkit_records has a column tenant that no claim fills: it is NOT NULL without default.",
  ],
  [
    "has no primary key",
    ["ALTER TABLE idemkit_records DROP PRIMARY KEY"],
    "idemkit_records lacks PRIMARY KEY (digest).",
  ],
  [
    "is another application's",
    ["DROP TABLE idemkit_records", "CREATE TABLE idemkit_records (id int PRIMARY KEY)"],
    "idemkit_records lacks PRIMARY KEY (digest). idemkit_records lacks the column digest",
  ],
  [
    "is a view",
    ["DROP TABLE idemkit_records", "CREATE VIEW idemkit_records AS SELECT 1 AS one"],
    "idemkit_records lacks PRIMARY KEY (digest).",
  ],
];
const noted = {
  "not noted": "DROP TABLE idemkit_migrations",
  "not noted any more": "DELETE FROM idemkit_migrations",
  "noted as made": "DO 0",
};

describe.each(servers)("on %s migrate", (_version, server) => {
  const onNewDatabase = async () =>
    pool(await database(server), onTestFinished, { connectionLimit: 20 });

  test("may be called by twenty at once: one does the work", async () => {
    const client = await onNewDatabase();
    const applied = await Promise.all(Array.from({ length: 20 }, () => migrate(client)));
    expect(applied.filter((versions) => versions.length > 0)).toEqual([[1]]);
  });

  test("does nothing the second time, through whatever client", async () => {
    const url = await database(server);
    await migrate(pool(url, onTestFinished));
    for (const connect of Object.values(clients)) {
      expect(await migrate(connect(url, onTestFinished))).toEqual([]);
    }
  });

  test("refuses a database that a newer release has migrated", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("INSERT INTO idemkit_migrations (version) VALUES (2)");
    await expect(migrate(client)).rejects.toThrow("a newer release has migrated it");
  });

  test("goes on where one was cut off before it was noted", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("DELETE FROM idemkit_migrations");
    expect(await migrate(client)).toEqual([1]);
    expect(await migrate(client)).toEqual([]);
  });

  for (const [what, statements, message] of unfit) {
    for (const [how, forget] of Object.entries(noted)) {
      test(`refuses a table that ${what}, ${how}, and leaves it as it is`, async () => {
        const client = await onNewDatabase();
        await migrate(client);
        for (const statement of [...statements, forget]) await client.query(statement);
        const catalog = `SELECT table_name, column_name, column_type FROM information_schema.columns
          WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`;
        const [before] = await client.query(catalog);
        await expect(migrate(client)).rejects.toThrow(
          "There is a table idemkit_records that cannot",
        );
        await expect(migrate(client)).rejects.toThrow(message);
        expect((await client.query(catalog))[0]).toEqual(before);
      });
    }
  }

  test("leaves tables alone that were made by other means", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("DROP TABLE idemkit_migrations");
    expect(await migrate(client)).toEqual([]);
    await mysqlStore(client).check(lenient);
  });

  test("makes a table again that was dropped by hand", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    await client.query("DROP TABLE idemkit_records");
    expect(await migrate(client)).toEqual([1]);
    await mysqlStore(client).check(lenient);
  });

  test("needs no right but to read where there is nothing to do", async () => {
    const url = await database(server);
    const client = pool(url, onTestFinished);
    await migrate(client);
    const name = new URL(url).pathname.slice(1);
    const user = `reader_${name.slice(-8)}`;
    await client.query(`CREATE USER ${user}@'%'`);
    onTestFinished(() => once(server, `DROP USER ${user}@'%'`));
    await client.query(`GRANT SELECT ON ${name}.* TO ${user}@'%'`);
    const reader = new URL(url);
    reader.username = user;
    expect(await migrate(pool(String(reader), onTestFinished))).toEqual([]);
  });

  test("rejects when its connection is cut, and lets go of its lock", async () => {
    const url = await database(server);
    const blocker = await pool(url, onTestFinished).getConnection();
    await blocker.query("SELECT GET_LOCK(CONCAT('idemkit ', SHA2(DATABASE(), 224)), 0)");
    const proxy = await startProxy(url);
    const refused = expect(migrate(pool(proxy.url, onTestFinished))).rejects.toThrow(
      /closed|lost/i,
    );
    const waits = async () => {
      const [rows] = await blocker.query<RowDataPacket[]>(
        "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT GET_LOCK%' AND state = 'User lock'",
      );
      return rows.length;
    };
    await expect.poll(waits).toBe(1);
    await proxy.stop();
    await refused;
    await blocker.query("DO RELEASE_LOCK(CONCAT('idemkit ', SHA2(DATABASE(), 224)))");
    blocker.release();
    expect(await migrate(pool(url, onTestFinished))).toEqual([1]);
  });

  test("refuses a connection without a database", async () => {
    const url = new URL(server);
    url.pathname = "/";
    await expect(migrate(pool(String(url), onTestFinished))).rejects.toThrow(
      "name a database in the URL",
    );
  });

  test("makes a table that has the columns of the drizzle schema, one by one", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    const [rows] = await client.query<RowDataPacket[][]>({
      sql: `SELECT column_name, column_type, is_nullable = 'NO' FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'idemkit_records' ORDER BY ordinal_position`,
      rowsAsArray: true,
    });
    const { name, columns, indexes } = getTableConfig(idemkitRecords);
    expect(name).toBe("idemkit_records");
    expect(columns.map((column) => [column.name, column.getSQLType(), column.notNull])).toEqual(
      rows.map(([column, type, isNotNull]) => [
        column,
        String(type).replace(/int\(\d+\)/, "int"),
        Number(isNotNull) === 1,
      ]),
    );
    expect(indexes.map(({ config }) => config.name)).toEqual(["idemkit_records_expires_at"]);
  });

  test("makes a table that drizzle reads as the store wrote it", async () => {
    const client = await onNewDatabase();
    await migrate(client);
    const engine = createEngine({ store: mysqlStore(client) });
    await engine.execute(["tenant"], "k", null, () => ({ id: 1 }));
    const [record] = await drizzle({ client }).select().from(idemkitRecords);
    expect(record).toMatchObject({
      scope: "6:tenant",
      key: "k",
      status: "succeeded",
      takenOver: 0,
      createdAt: expect.any(Number),
      body: 'json:{"id":1}',
    });
  });
});

test("migrate has the same text as the reviewed files in sql/", () => {
  const files = readdirSync(fileURLToPath(sqlFolder)).sort();
  expect(files).toHaveLength(migrations.length);
  for (const [index, { version, statement }] of migrations.entries()) {
    const file = files[index] ?? "";
    expect(Number(file.slice(0, 4))).toBe(version);
    expect(readFileSync(new URL(file, sqlFolder), "utf8")).toBe(statement);
  }
});
