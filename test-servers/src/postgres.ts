import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import pg from "pg";
import { find, launch, run, type TestServer, versionedFolders } from "./local-server.ts";

const SETTINGS = {
  // Whatever survives a test is thrown away with its server.
  fsync: "off",
  max_connections: "200",
  timezone: "UTC",
};

/** How the server is started where it is to differ from what most tests need. */
interface PostgresOptions {
  readonly settings?: Readonly<Record<string, string>>;
}

/** The Postgres of IDEMKIT_TEST_POSTGRES_URL, or one of this machine's own. */
export async function startPostgres({ settings }: PostgresOptions = {}): Promise<TestServer> {
  const given = process.env.IDEMKIT_TEST_POSTGRES_URL;
  if (given !== undefined && settings === undefined) {
    return { url: given, version: await versionOf(given), stop: async () => undefined };
  }
  const file = find("postgres", versionedFolders("/usr/lib/postgresql", "bin"));
  if (file === undefined) {
    throw new Error(
      "The tests need a Postgres server: run scripts/install-test-servers, put `postgres` on PATH, " +
        "or set IDEMKIT_TEST_POSTGRES_URL.",
    );
  }
  const all = Object.entries({ ...SETTINGS, ...settings });
  return await launch({
    file,
    prepare: (folder) => {
      const initdb = join(dirname(realpathSync(file)), "initdb");
      const how = ["--username=test", "--auth=trust", "--encoding=UTF8", "--no-locale"];
      run(initdb, [...how, "--no-sync", "--pgdata", `${folder}/data`], folder);
    },
    args: (folder, port) => [
      ...["-D", `${folder}/data`, "-h", "127.0.0.1", "-p", String(port), "-k", folder],
      ...all.flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    url: (port) => `postgres://test@127.0.0.1:${port}/postgres`,
    ask: versionOf,
  });
}

async function versionOf(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ readonly version: string }>("SELECT version()");
    return String(rows[0]?.version).split(" (")[0] ?? "";
  } finally {
    await client.end();
  }
}
