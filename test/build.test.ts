import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, onTestFinished, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const tsup = join(root, "node_modules/tsup/dist/cli-default.js");
const TIMEOUT_MS = 120_000;

function importsOf(path: string): readonly string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(path, "utf8"), true, true);
  return importedFiles.map(({ fileName }) => fileName);
}

test("each package is built by the one configuration of the workspace", () => {
  const builds = readdirSync(join(root, "packages")).map((name) => {
    const manifest = readFileSync(join(root, "packages", name, "package.json"), "utf8");
    return (JSON.parse(manifest) as { readonly scripts: { readonly build: string } }).scripts.build;
  });
  expect(new Set(builds)).toEqual(new Set(["tsup --config ../../tsup.config.ts"]));
});

test(
  "a built package imports what belongs to Node by the prefix `node:`",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-build-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const args = ["--config", "../../tsup.config.ts", "--no-dts", "--out-dir", folder];
    const cwd = join(root, "packages/store-sqlite");
    const { status, stderr } = spawnSync(process.execPath, [tsup, ...args], {
      cwd,
      encoding: "utf8",
    });
    expect(status, stderr).toBe(0);
    const built = readdirSync(folder).filter((name) => name.endsWith(".js"));
    const imported = new Set(built.flatMap((name) => importsOf(join(folder, name))));
    const builtins = [...imported].filter((name) => isBuiltin(name));
    expect(builtins).toContain("node:timers/promises");
    expect(builtins.filter((name) => !name.startsWith("node:"))).toEqual([]);
  },
  TIMEOUT_MS,
);
