import { randomBytes } from "node:crypto";
import { createConnection } from "mysql2/promise";
import { inject, onTestFinished } from "vitest";
import type { CleanUp } from "./clients.ts";

/** The servers that the tests run on, by what they call themselves. */
export const servers = Object.entries(inject("mysqlUrls"));

/** A new database of a server that the tests share. It is dropped with its user. */
export async function database(
  server: string,
  cleanUp: CleanUp = onTestFinished,
  charset = "utf8mb4",
): Promise<string> {
  const name = `idemkit_${randomBytes(6).toString("hex")}`;
  await once(server, `CREATE DATABASE ${name} CHARACTER SET ${charset}`);
  cleanUp(() => once(server, `DROP DATABASE ${name}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return String(url);
}

/** Runs one statement on a connection of its own. */
export async function once(url: string, statement: string): Promise<void> {
  const connection = await createConnection(url);
  await connection.query(statement);
  await connection.end();
}
