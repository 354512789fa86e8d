import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createEngine } from "@idemkit/engine";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { describe, expect, test } from "vitest";
import { idemkitRecords } from "../src/drizzle.ts";
import { migrate, migrations, sqliteStore } from "../src/index.ts";
import { migrated, opened, temporaryPath } from "./database.ts";

const sqlFolder = new URL("../sql/", import.meta.url);

describe("migrate", () => {
  test("may be called by twenty at once: one does the work", async () => {
    const path = temporaryPath();
    const handles = Array.from({ length: 20 }, () => opened(path));
    const applied = await Promise.all(handles.map((db) => migrate(db)));
    expect(applied.filter((versions) => versions.length > 0)).toEqual([[1]]);
  });

  test("does nothing the second time", async () => {
    const { db } = await migrated();
    expect(await migrate(db)).toEqual([]);
  });

  test("refuses a database that a newer release has migrated", async () => {
    const { db } = await migrated();
    db.exec("INSERT INTO idemkit_migrations VALUES (2, 0)");
    await expect(migrate(db)).rejects.toThrow("a newer release has migrated it");
  });

  test("undoes what it began when it fails", async () => {
    const db = opened(temporaryPath());
    db.exec("CREATE TABLE mine (a); CREATE INDEX idemkit_records_expires_at ON mine (a)");
    await expect(migrate(db)).rejects.toThrow("already exists");
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'idemkit%'").all();
    expect(tables).toEqual([{ name: "idemkit_records_expires_at" }]);
    expect(db.inTransaction).toBe(false);
  });

  test("makes a table again that was dropped by hand", async () => {
    const { db } = await migrated();
    db.exec("DROP TABLE idemkit_records");
    expect(await migrate(db)).toEqual([1]);
    await sqliteStore(db).check();
  });

  const { sql: made = "" } = migrations[0] ?? {};
  const unfit: readonly (readonly [string, string, string])[] = [
    [
      "lacks a column",
      made.replace("  owner TEXT NOT NULL,\n", ""),
      "idemkit_records lacks the column owner TEXT NOT NULL.",
    ],
    [
      "has a column of another type",
      made.replace(
        "digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 16)",
        "digest TEXT NOT NULL PRIMARY KEY",
      ),
      "The column digest of idemkit_records is TEXT NOT NULL: it has to be BLOB NOT NULL.",
    ],
    [
      "has a column that no claim fills",
      made.replace("  body TEXT\n", "  body TEXT,\n  tenant TEXT NOT NULL\n"),
      "idemkit_records has a column tenant that no claim fills: it is NOT NULL without default.",
    ],
    [
      "has no primary key",
      made.replace("PRIMARY KEY ", ""),
      "idemkit_records lacks PRIMARY KEY (digest).",
    ],
    [
      "is another application's",
      "CREATE TABLE idemkit_records (id INTEGER PRIMARY KEY)",
      "idemkit_records lacks PRIMARY KEY (digest). idemkit_records lacks the column digest",
    ],
    [
      "is a view",
      "CREATE VIEW idemkit_records AS SELECT 1 AS one",
      "idemkit_records lacks PRIMARY KEY (digest).",
    ],
  ];
  for (const [what, statement, message] of unfit) {
    for (const how of ["not noted", "noted as made"]) {
      test(`refuses a table that ${what}, ${how}, and leaves it as it is`, async () => {
        const { db } = await migrated();
        db.exec(`DROP TABLE idemkit_records; ${statement}`);
        if (how === "not noted") db.exec("DROP TABLE idemkit_migrations");
        const before = db.prepare("SELECT * FROM sqlite_schema").all();
        const refused = migrate(db);
        await expect(refused).rejects.toThrow("There is a table idemkit_records that cannot");
        await expect(refused).rejects.toThrow(message);
        expect(db.prepare("SELECT * FROM sqlite_schema").all()).toEqual(before);
      });
    }
  }

  test("leaves tables alone that were made by other means", async () => {
    const { db } = await migrated();
    db.exec("DROP TABLE idemkit_migrations");
    expect(await migrate(db)).toEqual([]);
    await sqliteStore(db).check();
  });

  test("takes columns that fill themselves", async () => {
    const { db } = await migrated();
    db.exec(`ALTER TABLE idemkit_records ADD twice INTEGER NOT NULL AS (token * 2);
      ALTER TABLE idemkit_records ADD seen INTEGER NOT NULL DEFAULT 0`);
    expect(await migrate(db)).toEqual([]);
    await sqliteStore(db).check();
  });

  test("has the same text as the reviewed files in sql/", () => {
    const files = readdirSync(fileURLToPath(sqlFolder)).sort();
    expect(files).toHaveLength(migrations.length);
    for (const [index, { version, sql }] of migrations.entries()) {
      const file = files[index] ?? "";
      expect(Number(file.slice(0, 4))).toBe(version);
      expect(readFileSync(new URL(file, sqlFolder), "utf8")).toBe(sql);
    }
  });
});

describe("the drizzle schema", () => {
  test("has the columns of the table, one by one", async () => {
    const { db } = await migrated();
    const columns = db.pragma("table_info(idemkit_records)") as readonly {
      readonly name: string;
      readonly type: string;
      readonly notnull: number;
    }[];
    const { name, columns: described, indexes } = getTableConfig(idemkitRecords);
    expect(name).toBe("idemkit_records");
    expect(
      described.map((column) => [column.name, column.getSQLType().toUpperCase(), column.notNull]),
    ).toEqual(columns.map((column) => [column.name, column.type, column.notnull === 1]));
    expect(indexes.map(({ config }) => config.name)).toEqual(["idemkit_records_expires_at"]);
  });

  test("reads what the store wrote", async () => {
    const { db } = await migrated();
    const engine = createEngine({ store: sqliteStore(db) });
    await engine.execute(["tenant"], "k", null, () => ({ id: 1 }));
    const [record] = drizzle(db).select().from(idemkitRecords).all();
    expect(record).toMatchObject({
      scope: "6:tenant",
      key: "k",
      status: "succeeded",
      takenOver: false,
      createdAt: expect.any(Date),
      body: 'json:{"id":1}',
    });
  });
});
