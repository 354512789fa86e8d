import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The API as a process of its own, as the README starts it. */
export class ApiProcess {
  readonly origin: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, origin: string) {
    this.#child = child;
    this.origin = origin;
  }

  /** @param command that of the README */
  static async start(command: string, database: string): Promise<ApiProcess> {
    const [program = "", ...args] = command.trim().split(" ");
    const env = { ...process.env, PORT: "0", ORDERS_DATABASE: database };
    const child = spawn(program === "node" ? process.execPath : program, args, {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const origin = /http:\/\/(localhost:\d+)/.exec(line)?.[1];
      if (origin !== undefined) return new ApiProcess(child, origin);
    }
    throw new Error("The API ended before it has said where it listens.");
  }

  /** What it exits with when it is told to end. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const [code] = (await exited) as [number | null];
    return code;
  }
}
