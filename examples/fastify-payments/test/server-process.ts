import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MAIN = "examples/fastify-payments/src/main.ts";

/** The command that the README tells to start the server with. */
export const COMMAND = ["node", "--conditions=@idemkit/source", "--import", "tsx", MAIN] as const;

export interface ServerProcess {
  readonly origin: string;
  /** Sends a signal, and answers the exit code, or null where the signal has ended it. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<number | null>;
}

/** Starts the server in a process of its own, and waits until it listens. */
export async function startServer(
  settings: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const [, ...args] = COMMAND;
  const child = spawn(process.execPath, args, {
    ...{ cwd: ROOT, env: { ...process.env, ...settings } },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const origin = await originOf(child);
  return {
    origin,
    end: async (signal) => {
      const exited = once(child, "exit");
      child.kill(signal);
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

async function originOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("It was started without an output.");
  for await (const line of createInterface(stdout)) {
    const [, origin] = /^Listening on (\S+)$/.exec(line) ?? [];
    if (origin !== undefined) return origin;
  }
  throw new Error("It has ended without listening.");
}
