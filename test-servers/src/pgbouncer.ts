import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { find, launch, type TestServer } from "./local-server.ts";

/** From this version on it follows named statements, unless it is configured not to. */
const FOLLOWING_SINCE = [1, 21] as const;

/**
 * A PgBouncer before a Postgres server, which gives each transaction any of its connections to that server and
 * does not know of named statements.
 */
export async function startPgBouncer(serverUrl: string): Promise<TestServer> {
  const file = find("pgbouncer", ["/usr/sbin"]);
  if (file === undefined) {
    throw new Error(
      "The tests need PgBouncer: run scripts/install-test-servers, or put `pgbouncer` on PATH.",
    );
  }
  const { hostname, port: serverPort, username } = new URL(serverUrl);
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" });
  const [version = ""] = stdout.split("\n");
  return await launch({
    file,
    args: (folder, port) => {
      const ini = join(folder, "pgbouncer.ini");
      const lines = [
        "[databases]",
        `* = host=${hostname} port=${serverPort} user=${username}`,
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        `listen_port = ${port}`,
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        ...(isFollowing(version) ? ["max_prepared_statements = 0"] : []),
      ];
      writeFileSync(ini, lines.join("\n"));
      return [ini];
    },
    url: (port) => `postgres://${username}@127.0.0.1:${port}/postgres`,
    ask: async (connectionString) => {
      const client = new pg.Client({ connectionString });
      await client.connect();
      await client.end();
      return version;
    },
  });
}

function isFollowing(version: string): boolean {
  const [major = 0, minor = 0] = (/\d+\.\d+/.exec(version)?.[0] ?? "").split(".").map(Number);
  return (
    major > FOLLOWING_SINCE[0] || (major === FOLLOWING_SINCE[0] && minor >= FOLLOWING_SINCE[1])
  );
}
