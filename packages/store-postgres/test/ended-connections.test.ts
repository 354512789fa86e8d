import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { migrate } from "../src/index.ts";
import { type ClientName, clients, pool } from "./clients.ts";
import { database } from "./database.ts";

const run = promisify(execFile);
/** A process of its own, which makes a client for each of some fifty connections. */
const TIMEOUT_MS = 180_000;
const script = fileURLToPath(new URL("ended-process.ts", import.meta.url));

for (const name of Object.keys(clients) as readonly ClientName[]) {
  test(
    `a process on ${name} outlives connections that the server ends at any response`,
    async () => {
      const url = await database();
      await migrate(pool(url, onTestFinished));
      const options = ["--conditions=@idemkit/source", "--import", "tsx", script];
      const ended = run(process.execPath, [...options, name, url]);
      await expect(ended).resolves.toEqual({ stdout: "", stderr: "" });
    },
    TIMEOUT_MS,
  );
}
