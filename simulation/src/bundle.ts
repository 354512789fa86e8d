import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import type { Bug } from "./bugs/bug.ts";

const sources = [
  fileURLToPath(new URL("../../packages/engine/src/", import.meta.url)),
  fileURLToPath(new URL(".", import.meta.url)),
];
const entry = fileURLToPath(new URL("worker.ts", import.meta.url));

export interface Bundle {
  /** The script that simulates, with the engine in it. */
  readonly path: string;
  readonly remove: () => Promise<void>;
}

/**
 * Bundles the simulation with the real engine, or with one that has a bug: its source is edited on
 * the way into the bundle, so that nothing in the engine itself knows of bugs.
 */
export async function bundle(bug?: Bug): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), "idemkit-simulation-"));
  const path = join(folder, "worker.mjs");
  await build({
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    conditions: ["@idemkit/source"],
    logLevel: "silent",
    plugins: bug === undefined ? [] : [editing(bug)],
  });
  return { path, remove: () => rm(folder, { recursive: true }) };
}

function editing({ name, edits }: Bug): Plugin {
  return {
    name: "bug",
    setup(bundling) {
      for (const file of new Set(edits.map((edit) => edit.file))) {
        const escaped = file.replace(".", "\\.");
        bundling.onLoad({ filter: new RegExp(`[\\\\/]${escaped}$`) }, async ({ path }) => {
          if (!sources.some((folder) => path.startsWith(folder))) return undefined;
          let contents = await readFile(path, "utf8");
          for (const { from, to } of edits.filter((edit) => edit.file === file)) {
            if (contents.split(from).length !== 2) {
              throw new Error(`The bug ${name} no longer fits ${file}: it must hold once: ${from}`);
            }
            contents = contents.replace(from, () => to);
          }
          return { contents, loader: "ts" };
        });
      }
    },
  };
}
