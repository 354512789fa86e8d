import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, chownSync, constants, mkdtempSync, readdirSync, realpathSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Guarded } from "./guard.ts";

/** A server that tests may use as they like. */
export interface TestServer {
  readonly url: string;
  /** Its own words about itself. */
  readonly version: string;
  /** Kills it, as a power cut would, and removes what it stored. A foreign server goes on. */
  stop(): Promise<void>;
}

/** What to run, and how to hear from it once it is up. */
interface Launch {
  readonly file: string;
  /** Makes ready what the server needs in its folder. */
  readonly prepare?: (folder: string) => void;
  readonly args: (folder: string, port: number) => readonly string[];
  readonly url: (port: number) => string;
  /** Asks the server for its version; rejects while it is not ready. */
  readonly ask: (url: string) => Promise<string>;
}

const GUARD = fileURLToPath(new URL("guard.ts", import.meta.url));
const READY_MS_MAX = 60_000;
const READY_PAUSE_MS = 50;
/** `nobody`, as databases refuse to run as root. */
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 };

const isRoot = process.getuid?.() === 0;
const identity = isRoot ? UNPRIVILEGED : {};

/**
 * Starts a server on a free port of loopback, in a temporary folder, as a process that ends with this
 * one however this one ends.
 */
export async function launch({ file, prepare, args, url, ask }: Launch): Promise<TestServer> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "idemkit-test-")));
  if (isRoot) chownSync(folder, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
  prepare?.(folder);
  const port = await freePort();
  const guarded: Guarded = { file, args: args(folder, port), folder, ...identity };
  const guard = spawn(process.execPath, ["--import", "tsx", GUARD, JSON.stringify(guarded)], {
    detached: true,
    stdio: ["pipe", "pipe", "inherit"],
  });
  guard.unref();
  const version = await ready(guard, () => ask(url(port)), file);
  return {
    url: url(port),
    version,
    stop: async () => {
      if (guard.exitCode !== null) return;
      const ended = once(guard, "exit");
      // Whoever has nothing else to do waits for it all the same.
      guard.ref();
      guard.stdin.end();
      await ended;
    },
  };
}

async function ready(guard: ChildProcess, ask: () => Promise<string>, file: string) {
  let lastWords = "";
  guard.stdout?.on("data", (chunk: Buffer) => {
    lastWords += chunk.toString();
  });
  for (let waitedMs = 0; waitedMs < READY_MS_MAX; waitedMs += READY_PAUSE_MS) {
    if (guard.exitCode !== null) throw new Error(`${file} ended at once. It said:\n${lastWords}`);
    try {
      return await ask();
    } catch {
      await sleep(READY_PAUSE_MS);
    }
  }
  guard.stdin?.end();
  throw new Error(`${file} did not answer within ${READY_MS_MAX} ms.`);
}

/** Runs a command of the server to its end, as the user that the server runs as. */
export function run(file: string, args: readonly string[], folder: string): void {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd: folder, ...identity });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${file} failed:\n${stdout.toString()}${stderr.toString()}`);
}

/** The program by that name on PATH or in one of the folders; of several versions the newest. */
export function find(name: string, folders: readonly string[] = []): string | undefined {
  const path = (process.env.PATH ?? "").split(delimiter);
  for (const folder of [...path, ...folders]) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** The folder `child` of each version below `parent`, the newest first. */
export function versionedFolders(parent: string, child: string): readonly string[] {
  try {
    const versions = readdirSync(parent).sort((one, other) => Number(other) - Number(one));
    return versions.map((version) => join(parent, version, child));
  } catch {
    return [];
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { readonly port: number };
  server.close();
  await once(server, "close");
  return port;
}
