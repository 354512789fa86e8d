import { randomBytes } from "node:crypto";
import pg from "pg";
import { describe, inject, onTestFinished } from "vitest";
import { stoppedCharges } from "./stopped.ts";

async function run(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  await client.query(statement);
  await client.end();
}

describe("charges on Postgres", () => {
  stoppedCharges(async () => {
    const name = `payments_${randomBytes(6).toString("hex")}`;
    await run(`CREATE DATABASE ${name}`);
    onTestFinished(() => run(`DROP DATABASE ${name} WITH (FORCE)`));
    const url = new URL(inject("postgresUrl"));
    url.pathname = `/${name}`;
    return String(url);
  });
});
