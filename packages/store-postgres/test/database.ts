import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject, onTestFinished } from "vitest";
import type { CleanUp } from "./clients.ts";

/** A new database of the server that the tests share. It is dropped with its user. */
export async function database(cleanUp: CleanUp = onTestFinished): Promise<string> {
  const server = inject("postgresUrl");
  const name = `idemkit_${randomBytes(6).toString("hex")}`;
  await once(server, `CREATE DATABASE ${name}`);
  cleanUp(() => once(server, `DROP DATABASE ${name} WITH (FORCE)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return String(url);
}

async function once(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement);
  await client.end();
}
