import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import type { Bug } from "./bugs/bug.ts";

const sources = [
  fileURLToPath(new URL("../../packages/engine/src/", import.meta.url)),
  fileURLToPath(new URL(".", import.meta.url)),
];
const entry = fileURLToPath(new URL("worker.ts", import.meta.url));

/**
 * Bundles the simulation with the real engine, or with one that has a bug: its source is edited on
 * the way into the bundle, so that nothing in the engine itself knows of bugs.
 *
 * @returns the script that simulates, with the engine in it, as a URL for a worker
 */
export async function bundle(bug?: Bug): Promise<URL> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    write: false,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    conditions: ["@idemkit/source"],
    logLevel: "silent",
    plugins: bug === undefined ? [] : [editing(bug)],
  });
  const script = outputFiles.map(({ text }) => text).join("");
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
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
