import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { clauses, transactionalClauses } from "@idemkit/conformance";
import * as engine from "@idemkit/engine";
import { describe, expect, inject, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

function markdownIn(folder: string): readonly string[] {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(".md"));
  return names.map((name) => join(folder, name));
}

const documents = [".", "docs", "docs/adr", "docs/guides"].flatMap(markdownIn);

/** A TypeScript block of a document, as a file beside the workspace's packages. */
interface Block {
  readonly name: string;
  readonly path: string;
  readonly source: string;
}

const blocksFolder = join(root, ".docs-blocks");

const blocks: readonly Block[] = documents.flatMap((document) =>
  [...read(document).matchAll(/^```ts\n(.*?)^```$/gms)].map(([, source = ""], index) => {
    const name = `${document}, block ${index + 1}`;
    const path = join(blocksFolder, `${document.replaceAll(/[^a-z]/gi, "-")}-${index + 1}.ts`);
    return { name, path, source };
  }),
);

rmSync(blocksFolder, { recursive: true, force: true });
mkdirSync(blocksFolder, { recursive: true });
for (const { path, source } of blocks) writeFileSync(path, source);

describe("the TypeScript in the documents", () => {
  test("is there, in the README above all", () => {
    expect(blocks.filter(({ name }) => name.startsWith("README.md"))).not.toEqual([]);
    expect(blocks.length).toBeGreaterThan(5);
  });

  test("compiles", async () => {
    const config = join(blocksFolder, "tsconfig.json");
    const settings = { extends: "../tsconfig.base.json", include: ["*.ts"] };
    writeFileSync(config, JSON.stringify(settings));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", config]).catch(
      (error: { readonly stdout: string }) => error,
    );
    expect(stdout).toBe("");
  }, 120_000);

  for (const { name, path, source } of blocks) {
    test.concurrent(`runs and prints what it says: ${name}`, async ({ onTestFinished }) => {
      const folder = mkdtempSync(join(tmpdir(), "idemkit-docs-"));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      const tsx = import.meta.resolve("tsx");
      const options = ["--conditions=@idemkit/source", "--import", tsx, path];
      const [mysqlUrl = ""] = Object.values(inject("mysqlUrls"));
      const servers = {
        DATABASE_URL: inject("postgresUrl"),
        MYSQL_URL: mysqlUrl,
        REDIS_URL: inject("redisUrl"),
      };
      const env = { ...process.env, ...servers };
      const { stdout } = await run(process.execPath, options, { cwd: folder, env });
      const said = [...source.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map(
        ([, text]) => text,
      );
      const printed = stdout.split("\n");
      for (const line of said) {
        const at = printed.indexOf(line ?? "");
        expect(at, `«${line}» is not in:\n${stdout}`).toBeGreaterThanOrEqual(0);
        printed.splice(0, at + 1);
      }
    });
  }
});

describe("the documents", () => {
  test("link to files that are there", () => {
    const broken = documents.flatMap((document) =>
      [...read(document).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map(([, target = ""]) => join(dirname(document), target))
        .filter((target) => !exists(target))
        .map((target) => `${document} → ${target}`),
    );
    expect(broken).toEqual([]);
  });

  test("name scripts that are there", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const named = documents.flatMap((document) =>
      [...read(document).matchAll(/^ *(?:npx --yes )?pnpm(?:@10)? (?:run )?([a-z:]+)/gm)].map(
        ([, script = ""]) => script,
      ),
    );
    const known = new Set([...Object.keys(scripts), "install"]);
    expect(named.filter((script) => !known.has(script))).toEqual([]);
    expect(named).toEqual(expect.arrayContaining(["demo", "test:all"]));
  });

  test("errors.md has every code with its class, and no other", () => {
    const inDocs = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \| `(\w+)` \|/gm)].map(
      ([, code, name]) => [code, name],
    );
    const inCode = Object.entries(engine)
      .filter(([, value]) => typeof value === "function" && Object.hasOwn(value, "code"))
      .map(([name, value]) => [(value as unknown as { readonly code: string }).code, name]);
    expect(inDocs.sort()).toEqual(inCode.sort());
    expect(inCode.length).toBeGreaterThan(8);
  });

  test("store-contract.md has every clause with its promise, and no other", () => {
    const inDocs = [...read("docs/store-contract.md").matchAll(/^\| `([\w.-]+)` \| (.*) \|$/gm)];
    const sorted = (lines: readonly string[]) => [...lines].sort();
    const all = [...clauses, ...transactionalClauses];
    expect(sorted(inDocs.map(([, id, title]) => `${id}: ${title}`))).toEqual(
      sorted(all.map(({ id, title }) => `${id}: ${title}`)),
    );
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  test("operating.md names every event, and no other", () => {
    const source = read("packages/engine/src/events.ts");
    const map = source.slice(
      source.indexOf("interface EventMap"),
      source.indexOf("type EventName"),
    );
    const inCode = [...map.matchAll(/^ {2}readonly "?([a-z-]+)"?:/gm)].map(([, name]) => name);
    const watch = read("docs/operating.md").split("## Watch")[1]?.split("## ")[0] ?? "";
    const rows = watch.split("\n").filter((line) => line.startsWith("| `"));
    const inDocs = rows.flatMap((row) =>
      [...(row.split("|")[1] ?? "").matchAll(/`([a-z-]+)`/g)].map(([, name]) => name),
    );
    expect(inDocs.sort()).toEqual(inCode.sort());
    expect(inCode.length).toBeGreaterThan(10);
  });
});

function exists(path: string): boolean {
  try {
    readdirSync(dirname(join(root, path)));
    return path.endsWith("adr") || read(path) !== undefined;
  } catch {
    return false;
  }
}
