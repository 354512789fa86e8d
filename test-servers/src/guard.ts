import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** What a guard is told to run, as JSON in its first argument. */
export interface Guarded {
  readonly file: string;
  readonly args: readonly string[];
  /** The server's own folder. It goes when the server goes. */
  readonly folder: string;
  readonly uid?: number;
  readonly gid?: number;
}

const LOG_TAIL_CHARACTERS = 4_000;

// Keeps one server alive for as long as its user lives: the user holds the other end of stdin, which
// closes however the user ends, SIGKILL included.
const { file, args, folder, ...identity } = JSON.parse(process.argv[2] ?? "") as Guarded;
const logPath = join(folder, "server.log");
const log = openSync(logPath, "a");
const server = spawn(file, args, { cwd: folder, ...identity, stdio: ["ignore", log, log] });
closeSync(log);
process.stdin.resume().on("end", () => server.kill("SIGKILL"));
server.on("error", (error) => finish(String(error)));
server.on("exit", () => finish(readFileSync(logPath, "utf8").slice(-LOG_TAIL_CHARACTERS)));

function finish(lastWords: string): void {
  rmSync(folder, { recursive: true, force: true });
  process.stdout.write(lastWords, () => process.exit());
}
