import { randomBytes } from "node:crypto";
import { createConnection } from "mysql2/promise";
import pg from "pg";
import { describe, inject, onTestFinished } from "vitest";
import { orderPromises } from "./order-promises.ts";
import { World } from "./world.ts";

type RunOn = (server: string, statement: string) => Promise<void>;

const onPostgres: RunOn = async (connectionString, statement) => {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(statement);
  await client.end();
};

const onMysql: RunOn = async (uri, statement) => {
  const connection = await createConnection(uri);
  await connection.query(statement);
  await connection.end();
};

/** A world on a new database of the server, which is dropped with it. */
async function worldOn(server: string, run: RunOn, force = ""): Promise<World> {
  const name = `orders_${randomBytes(6).toString("hex")}`;
  await run(server, `CREATE DATABASE ${name}`);
  onTestFinished(() => run(server, `DROP DATABASE ${name} ${force}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return new World(() => String(url));
}

describe("on Postgres", () => {
  orderPromises(() => worldOn(inject("postgresUrl"), onPostgres, "WITH (FORCE)"));
});

for (const [version, server] of Object.entries(inject("mysqlUrls"))) {
  describe(`on ${version}`, () => {
    orderPromises(() => worldOn(server, onMysql));
  });
}
