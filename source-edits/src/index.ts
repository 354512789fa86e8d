import { readFile } from "node:fs/promises";
import { sep } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

/** One replacement in a source file. The text to replace has to occur there exactly once. */
export interface Edit {
  /** How the path of the file ends, with `/` between folders. Libraries are never edited. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A fault that is put into the source on purpose, to see that it is noticed. */
export interface Fault {
  readonly name: string;
  readonly edits: readonly Edit[];
}

/**
 * Bundles a module with all that it is built on. Where a fault is given, source is edited on the way into
 * the bundle, so that nothing in the project's own source knows of faults.
 *
 * @param entry the path of the module
 * @returns the bundle, as a URL that `import` and workers take
 * @throws Error where an edit does not fit the source any more
 */
export async function bundled(entry: string, fault?: Fault): Promise<URL> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    write: false,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    conditions: ["@idemkit/source"],
    logLevel: "silent",
    // Libraries in CommonJS require the modules of Node.
    banner: {
      js: `import { createRequire as ownRequire } from "node:module";
const require = ownRequire(${JSON.stringify(pathToFileURL(entry))});`,
    },
    plugins: fault === undefined ? [] : [editing(fault)],
  });
  const script = outputFiles.map(({ text }) => text).join("");
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
}

function editing({ name, edits }: Fault): Plugin {
  return {
    name: "fault",
    setup(bundling) {
      const edited = new Set<Edit>();
      bundling.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const parts = path.split(sep);
        if (parts.includes("node_modules")) return undefined;
        const here = edits.filter(({ file }) => parts.join("/").endsWith(`/${file}`));
        let contents = await readFile(path, "utf8");
        for (const edit of here) {
          contents = applied(name, edit, contents);
          edited.add(edit);
        }
        return { contents, loader: "ts" };
      });
      bundling.onEnd(() => {
        for (const edit of edits) {
          if (!edited.has(edit)) throw new Error(`The fault "${name}" edits no ${edit.file}.`);
        }
      });
    },
  };
}

function applied(name: string, { file, from, to }: Edit, contents: string): string {
  if (contents.split(from).length === 2) return contents.replace(from, () => to);
  throw new Error(`The fault "${name}" no longer fits ${file}: it must hold once: ${from}`);
}
