import type { TestProject } from "vitest/node";
import { startMariaDb, startMysql } from "./mysql.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The servers that are there, by what they call themselves. */
    mysqlUrls: Readonly<Record<string, string>>;
  }
}

/** Vitest's global set-up of the projects that test on MariaDB, and on MySQL where it is. */
export default async function setup({ name, provide }: TestProject): Promise<() => Promise<void>> {
  const mariaDb = await startMariaDb();
  const mysql = await startMysql();
  const servers = [mariaDb, ...(mysql === undefined ? [] : [mysql])];
  process.stdout.write(`${name} runs on ${servers.map(({ version }) => version).join(" and ")}.\n`);
  if (mysql === undefined) {
    process.stdout.write(
      `${name} does NOT run on MySQL: there is no mysqld but MariaDB's, and IDEMKIT_TEST_MYSQL_URL ` +
        "is not set.\n",
    );
  }
  provide("mysqlUrls", Object.fromEntries(servers.map(({ version, url }) => [version, url])));
  return async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
}
