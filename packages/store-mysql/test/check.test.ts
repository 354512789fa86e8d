import { startMariaDb } from "@idemkit/test-servers";
import type { PoolOptions } from "mysql2/promise";
import { describe, expect, onTestFinished, test } from "vitest";
import { type CheckOptions, migrate, mysqlStore } from "../src/index.ts";
import { pool } from "./clients.ts";
import { database, once, servers } from "./database.ts";

const lenient = { durability: "process-kill" } as const;

const spoilt: readonly (readonly [string, string, string])[] = [
  ["a missing table", "DROP TABLE idemkit_records", "idemkit_records is missing: call"],
  [
    "a column of another type",
    "ALTER TABLE idemkit_records MODIFY token int NOT NULL",
    "The column token of idemkit_records is int NOT NULL: it has to be bigint NOT NULL",
  ],
  [
    "a column that may be NULL",
    "ALTER TABLE idemkit_records MODIFY owner varbinary(255) NULL",
    "The column owner of idemkit_records is varbinary(255): it has to be varbinary(255) NOT NULL",
  ],
  ["a missing column", "ALTER TABLE idemkit_records DROP note", "lacks the column note longtext"],
  [
    "a column that no claim fills",
    "ALTER TABLE idemkit_records ADD tenant varchar(10) NOT NULL",
    "has a column tenant that no claim fills",
  ],
  [
    "a column of another charset",
    "ALTER TABLE idemkit_records MODIFY body longtext CHARACTER SET latin1",
    "The column body of idemkit_records holds latin1",
  ],
  [
    "a missing primary key",
    "ALTER TABLE idemkit_records DROP PRIMARY KEY",
    "lacks PRIMARY KEY (digest)",
  ],
  [
    "a primary key on a part of the digest",
    "ALTER TABLE idemkit_records DROP PRIMARY KEY, ADD PRIMARY KEY (digest(4))",
    "lacks PRIMARY KEY (digest)",
  ],
  [
    "another unique key",
    "ALTER TABLE idemkit_records ADD UNIQUE other (token)",
    "has another unique key, other",
  ],
  [
    "a missing index",
    "DROP INDEX idemkit_records_expires_at ON idemkit_records",
    "lacks its index on expires_at",
  ],
  ["another storage engine", "ALTER TABLE idemkit_records ENGINE = MyISAM", "is kept by MyISAM"],
  [
    "a newer schema",
    "INSERT INTO idemkit_migrations (version) VALUES (2)",
    "newer than this release",
  ],
];

const settings: readonly (readonly [string, string, string])[] = [
  ["a connection that does not commit", "SET SESSION autocommit = 0", "autocommit is off"],
  ["results in another charset", "SET SESSION character_set_results = latin1", "charset is latin1"],
  ["a connection that cuts texts", "SET SESSION sql_mode = ''", "sql_mode is not strict"],
];

describe.each(servers)("on %s check", (version, server) => {
  const migrated = async (options: PoolOptions = {}) => {
    const url = await database(server);
    const client = pool(url, onTestFinished, options);
    await migrate(client);
    return { client, url };
  };

  test("reports versions and durability, and leaves nothing behind", async () => {
    const { client } = await migrated();
    expect(await mysqlStore(client).check(lenient)).toMatchObject({
      schemaVersion: 1,
      durability: expect.any(String),
      serverVersion: version,
      flushLogAtTrxCommit: expect.any(String),
    });
    expect((await client.query("SELECT * FROM idemkit_records"))[0]).toEqual([]);
  });

  for (const [what, statement, message] of spoilt) {
    test(`refuses ${what}`, async () => {
      const { client } = await migrated();
      await client.query(statement);
      await expect(mysqlStore(client).check(lenient)).rejects.toThrow(message);
    });
  }

  for (const [what, statement, message] of settings) {
    test(`refuses ${what}`, async () => {
      const { client } = await migrated({ connectionLimit: 1 });
      await client.query(statement);
      await expect(mysqlStore(client).check(lenient)).rejects.toThrow(message);
    });
  }

  test("refuses a connection that cannot send every text", async () => {
    const { client } = await migrated({ charset: "latin1" });
    await expect(mysqlStore(client).check(lenient)).rejects.toThrow("charset is latin1");
  });

  test("refuses a table whose rows a trigger changes", async () => {
    const { client } = await migrated();
    await client.query(
      "CREATE TRIGGER meddle BEFORE INSERT ON idemkit_records FOR EACH ROW SET NEW.owner = 'x'",
    );
    await expect(mysqlStore(client).check(lenient)).rejects.toThrow("on trial");
  });

  test("refuses a table whose texts a trigger cuts", async () => {
    const { client } = await migrated();
    await client.query(
      "CREATE TRIGGER cut BEFORE UPDATE ON idemkit_records FOR EACH ROW SET NEW.body = LEFT(NEW.body, 9)",
    );
    await expect(mysqlStore(client).check(lenient)).rejects.toThrow(
      "Texts on trial did not come back as they were",
    );
  });

  test("takes columns that fill themselves", async () => {
    const { client } = await migrated();
    // MariaDB has none of them that must not be NULL.
    const notNull = version.startsWith("MySQL") ? " NOT NULL" : "";
    await client.query(
      `ALTER TABLE idemkit_records ADD twice bigint AS (token * 2) STORED${notNull}`,
    );
    await mysqlStore(client).check(lenient);
  });

  test("refuses a user who may not write", async () => {
    const { client, url } = await migrated();
    const name = new URL(url).pathname.slice(1);
    const user = `reader_${name.slice(-8)}`;
    await client.query(`CREATE USER ${user}@'%'`);
    onTestFinished(() => once(server, `DROP USER ${user}@'%'`));
    await client.query(`GRANT SELECT ON ${name}.* TO ${user}@'%'`);
    const reader = new URL(url);
    reader.username = user;
    const refused = mysqlStore(pool(String(reader), onTestFinished)).check(lenient);
    await expect(refused).rejects.toThrow("The user needs SELECT, INSERT, UPDATE and DELETE");
  });

  test("refuses options that there are not", async () => {
    const { client } = await migrated();
    const store = mysqlStore(client);
    await expect(store.check({ durable: 1 } as CheckOptions)).rejects.toThrow("no such option");
  });

  test("takes tables that were made by other means", async () => {
    const { client } = await migrated();
    await client.query("DROP TABLE idemkit_migrations");
    expect(await mysqlStore(client).check(lenient)).not.toHaveProperty("schemaVersion");
  });
});

test("check finds whether a server keeps what it has acknowledged", async () => {
  const hasty = await startMariaDb({ settings: { "innodb-flush-log-at-trx-commit": "2" } });
  onTestFinished(() => hasty.stop());
  const client = pool(hasty.url, onTestFinished);
  await migrate(client);
  const store = mysqlStore(client);
  await expect(store.check()).rejects.toThrow(
    "An acknowledged outcome survives 'process-kill' and has to survive 'power-loss'",
  );
  await client.query("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
  expect(await store.check()).toMatchObject({ durability: "power-loss" });
});
