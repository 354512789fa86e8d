import { type Outliving, outliveConnections, startProxy } from "@idemkit/test-servers";
import { sql as drizzleSql, type SQL } from "drizzle-orm";
import { drizzle as onNodePostgres } from "drizzle-orm/node-postgres";
import { drizzle as onPostgresJs } from "drizzle-orm/postgres-js";
import type { PoolClient } from "pg";
import type { TransactionSql } from "postgres";
import { type PostgresClient, postgresStore } from "../src/index.ts";
import { type ClientName, pool, sql } from "./clients.ts";

interface DrizzleTransaction {
  execute(query: SQL): PromiseLike<unknown>;
  transaction(work: (inner: DrizzleTransaction) => PromiseLike<unknown>): PromiseLike<unknown>;
}

const byDrizzle = {
  ask: (tx: DrizzleTransaction) => tx.execute(drizzleSql`SELECT 1`),
  askOnSavepoint: (tx: DrizzleTransaction) =>
    tx.transaction((inner) => inner.execute(drizzleSql`SELECT 1`)),
};

// Works on a server that ends its connections, and ends with code 0 only if it survives that.
const [name, url = ""] = process.argv.slice(2) as [ClientName, string];
const proxy = await startProxy(url);
const noCleanUp = () => undefined;
const storeOn = (client: PostgresClient) => postgresStore(client) as never;

function onPg() {
  const client = pool(proxy.url, noCleanUp);
  const hold = async () => {
    const held = await client.connect();
    return () => held.release();
  };
  return { client, hold, end: () => client.end() };
}

function onJs() {
  // A connection that is lost while postgres.js fetches types rejects a promise that has no handler.
  const client = sql(proxy.url, noCleanUp, 8, { fetch_types: false });
  const hold = async () => {
    const held = await client.reserve();
    return () => held.release();
  };
  return { client, hold, end: () => client.end({ timeout: 0 }) };
}

const connect: Readonly<Record<ClientName, () => Outliving>> = {
  pg: () => {
    const { client, ...others } = onPg();
    const ask = (tx: PoolClient) => tx.query("SELECT 1");
    return { ...others, store: storeOn(client), ask };
  },
  "postgres.js": () => {
    const { client, ...others } = onJs();
    const ask = (tx: TransactionSql) => tx`SELECT 1`;
    const askOnSavepoint = (tx: TransactionSql) => tx.savepoint(ask);
    return { ...others, store: storeOn(client), ask, askOnSavepoint };
  },
  "drizzle on pg": () => {
    const { client, ...others } = onPg();
    return { ...others, ...byDrizzle, store: storeOn(onNodePostgres({ client })) };
  },
  "drizzle on postgres.js": () => {
    const { client, ...others } = onJs();
    return { ...others, ...byDrizzle, store: storeOn(onPostgresJs({ client })) };
  },
};

/** `FATAL` with code 57P01, byte for byte as a server sends it when it is shut down. */
const fields = ["SFATAL", "VFATAL", "C57P01", "Mterminating connection", "Fpostgres.c", ""];
const body = Buffer.from(`${fields.join("\0")}\0`);
const head = Buffer.from("E\0\0\0\0");
head.writeInt32BE(body.length + 4, 1);

await outliveConnections(proxy, Buffer.concat([head, body]), connect[name]);
process.exit();
