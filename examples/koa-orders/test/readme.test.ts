import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ApiProcess } from "./process.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const blocks = [...readme.matchAll(/^```(sh|http)\n(.*?)^```$/gms)].map(
  ([, kind = "", text = ""]) => ({ kind, text }),
);

/** Lines with `…` stand for any that have the rest. */
function isLike(shown: string, got: string): boolean {
  const parts = shown.split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(got);
}

/** Expects the shown lines in this order, with others between them. */
function expectShown(shown: string, got: string): void {
  const lines = got.split(/\r?\n/);
  for (const line of shown.trimEnd().split("\n")) {
    const at = lines.findIndex((each) => isLike(line, each));
    expect(at, `«${line}» is not in:\n${got}`).toBeGreaterThanOrEqual(0);
    lines.splice(0, at + 1);
  }
}

test("the commands of the README answer what it shows", async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-koa-orders-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  let api: ApiProcess | undefined;
  onTestFinished(async () => {
    await api?.stop();
  });
  let got = "";
  let shownCount = 0;
  for (const { kind, text } of blocks) {
    if (kind === "http") {
      expectShown(text, got);
      shownCount += 1;
    } else if (text.startsWith("node ")) {
      expect((await api?.stop()) ?? 0).toBe(0);
      api = await ApiProcess.start(text, join(folder, "orders.db"));
    } else {
      // Each answer ends a line, as its reader's terminal shows it.
      const command = text
        .replaceAll("localhost:3000", api?.origin ?? "")
        .replaceAll(/^curl /gm, "curl -w '\\n' ");
      ({ stdout: got } = await promisify(execFile)("bash", ["-ec", command]));
    }
  }
  expect(await api?.stop()).toBe(0);
  expect(shownCount).toBeGreaterThan(8);
});
