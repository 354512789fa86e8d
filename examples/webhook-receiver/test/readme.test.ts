import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");

test("the README starts a receiver and delivers a signed event", async () => {
  const [command = "", delivery = ""] = [...README.matchAll(/^```sh\n(.*?)^```$/gms)].map(
    ([, block = ""]) => block,
  );
  const folder = mkdtempSync(join(tmpdir(), "idemkit-webhooks-"));
  const settings = { RECEIVER_DATABASE: join(folder, "receiver.db"), RECEIVER_PORT: "0" };
  const child = spawn(process.execPath, command.trim().split(" ").slice(1), {
    cwd: ROOT,
    env: { ...process.env, ...settings },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const { value: line = "" } = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  const deliver = delivery.replace("http://127.0.0.1:8081", String(line).replace(/^.* /, ""));
  expect(deliver).not.toBe(delivery);
  const { stdout: first } = await run("sh", ["-c", deliver]);
  expect(first).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(first).toMatch(/\{"balanceCents":500\}$/);
  const { stdout: second } = await run("sh", ["-c", deliver]);
  expect(second).toContain("idempotency-replayed: true");
  expect(second).toMatch(/\{"balanceCents":500\}$/);
});
