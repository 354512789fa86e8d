import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import { find, launch, run, type TestServer } from "./local-server.ts";

/** How a server is started where it is to differ from what most tests need. */
interface MysqlOptions {
  readonly settings?: Readonly<Record<string, string>>;
}

const SETTINGS = {
  // Whatever survives a test is thrown away with its server.
  "innodb-flush-log-at-trx-commit": "0",
  "max-connections": "200",
};
const FOLDERS = ["/usr/sbin", "/usr/libexec"];

/** The MariaDB of IDEMKIT_TEST_MARIADB_URL, or one of this machine's own. */
export async function startMariaDb({ settings }: MysqlOptions = {}): Promise<TestServer> {
  const given = process.env.IDEMKIT_TEST_MARIADB_URL;
  if (given !== undefined && settings === undefined) return await foreign(given);
  const file = find("mariadbd", FOLDERS);
  if (file === undefined) {
    throw new Error(
      "The tests need a MariaDB server: run scripts/install-test-servers, put `mariadbd` on PATH, " +
        "or set IDEMKIT_TEST_MARIADB_URL.",
    );
  }
  const installer = find("mariadb-install-db") ?? join(dirname(file), "../bin/mariadb-install-db");
  return await launch({
    file,
    prepare: (folder) => {
      const how = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
      run(installer, [...how, "--force", `--datadir=${folder}/data`], folder);
    },
    args: (folder, port) => args(folder, port, settings),
    url,
    ask: versionOf,
  });
}

/** The MySQL of IDEMKIT_TEST_MYSQL_URL, or one of this machine's own; undefined where neither is. */
export async function startMysql({ settings }: MysqlOptions = {}): Promise<TestServer | undefined> {
  const given = process.env.IDEMKIT_TEST_MYSQL_URL;
  if (given !== undefined && settings === undefined) return await foreign(given);
  const file = find("mysqld", FOLDERS);
  if (file === undefined || isMariaDb(file)) return undefined;
  return await launch({
    file,
    prepare: (folder) => {
      const how = ["--no-defaults", "--initialize-insecure"];
      run(file, [...how, `--datadir=${folder}/data`], folder);
    },
    args: (folder, port) => args(folder, port, { mysqlx: "OFF", ...settings }),
    url,
    ask: versionOf,
  });
}

function args(folder: string, port: number, settings: MysqlOptions["settings"]) {
  return [
    ...["--no-defaults", `--datadir=${folder}/data`, `--socket=${folder}/socket`],
    ...["--bind-address=127.0.0.1", `--port=${port}`, `--pid-file=${folder}/pid`],
    ...Object.entries({ ...SETTINGS, ...settings }).map(([name, value]) => `--${name}=${value}`),
  ];
}

function url(port: number): string {
  return `mysql://root@127.0.0.1:${port}/mysql`;
}

/** Debian calls MariaDB by both names. */
function isMariaDb(file: string): boolean {
  return /mariadb/i.test(spawnSync(file, ["--version"], { encoding: "utf8" }).stdout);
}

async function foreign(url: string): Promise<TestServer> {
  return { url, version: await versionOf(url), stop: async () => undefined };
}

async function versionOf(url: string): Promise<string> {
  const connection = await createConnection(url);
  try {
    const [[row]] = await connection.query<RowDataPacket[]>("SELECT VERSION() AS version");
    const version = String(row?.version);
    const [number] = version.split("-");
    return `${/mariadb/i.test(version) ? "MariaDB" : "MySQL"} ${number}`;
  } finally {
    await connection.end();
  }
}
