import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, { readonly "@idemkit/source": string }>>;
}

interface Package {
  readonly folder: string;
  readonly manifest: Manifest;
}

const packages: readonly Package[] = readdirSync(join(root, "packages")).map((name) => {
  const folder = join(root, "packages", name);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  return { folder, manifest };
});

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What a file imports, by whatever syntax. */
function importsOf(path: string): readonly string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(path, "utf8"), true, true);
  return importedFiles.map(({ fileName }) => fileName);
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Which of our packages a package may import. What is not named here may import none. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "@idemkit/conformance": ["@idemkit/engine"],
  "@idemkit/fastify": ["@idemkit/http"],
  "@idemkit/http": ["@idemkit/engine"],
  "@idemkit/koa": ["@idemkit/http"],
  "@idemkit/store-mysql": ["@idemkit/engine"],
  "@idemkit/store-postgres": ["@idemkit/engine"],
  "@idemkit/store-redis": ["@idemkit/engine"],
  "@idemkit/store-sqlite": ["@idemkit/engine"],
};

describe("the dependency rule", () => {
  for (const { folder, manifest } of packages) {
    const sources = sourcesIn(join(folder, "src"));
    const imported = new Set(
      sources
        .flatMap(importsOf)
        .filter((specifier) => !specifier.startsWith(".") && !isBuiltin(specifier))
        .map(packageOf),
    );
    const { dependencies = {}, peerDependencies = {} } = manifest;

    test(`${manifest.name} imports of ours only what it may`, () => {
      const ours = [...imported].filter((name) => name.startsWith("@idemkit/"));
      const allowed = MAY_IMPORT[manifest.name] ?? [];
      expect(ours.filter((name) => !allowed.includes(name))).toEqual([]);
      const listed = Object.keys({ ...dependencies, ...peerDependencies });
      const listedOurs = listed.filter((name) => name.startsWith("@idemkit/"));
      expect(listedOurs.filter((name) => !allowed.includes(name))).toEqual([]);
    });

    test(`${manifest.name} lists what it imports, and nothing more`, () => {
      const listed = Object.keys({ ...dependencies, ...peerDependencies });
      expect([...imported].sort()).toEqual(listed.sort());
    });

    test(`${manifest.name} is whole: relative imports stay in its own src`, () => {
      const outside = sources.flatMap((path) =>
        importsOf(path).filter(
          (specifier) =>
            specifier.startsWith(".") &&
            !join(path, "..", specifier).startsWith(join(folder, "src")),
        ),
      );
      expect(outside).toEqual([]);
    });

    test(`${manifest.name} has no file called shared, common or utils, and none over 300 lines`, () => {
      const names = sources.map((path) => path.slice(folder.length));
      expect(names.filter((name) => /\b(shared|common|utils?|helpers?)\b/.test(name))).toEqual([]);
      const long = sources.filter((path) => readFileSync(path, "utf8").split("\n").length > 301);
      expect(long).toEqual([]);
    });
  }

  for (const name of ["engine", "client"]) {
    test(`the ${name} depends on nothing at all`, () => {
      const found = packages.find(({ manifest }) => manifest.name === `@idemkit/${name}`);
      expect(found?.manifest.name).toBeDefined();
      expect(found?.manifest.dependencies ?? {}).toEqual({});
      expect(found?.manifest.peerDependencies ?? {}).toEqual({});
    });
  }

  test("the client imports nothing but its own files, as it runs in browsers", () => {
    const sources = sourcesIn(join(root, "packages/client/src"));
    expect(sources.length).toBeGreaterThan(0);
    const foreign = sources.flatMap(importsOf).filter((specifier) => !specifier.startsWith("."));
    expect(foreign).toEqual([]);
  });

  test("the engine takes time, timers, randomness and warnings from its runtime alone", () => {
    const folder = join(root, "packages/engine/src");
    const own =
      /\b(Date\.now|setTimeout|setInterval|setImmediate|Math\.random|performance\.now|randomBytes|randomUUID|emitWarning|nextTick)\b/;
    const offending = sourcesIn(folder).filter((path) => own.test(withoutComments(path)));
    expect(offending.map((path) => path.slice(folder.length + 1)).sort()).toEqual([
      "memory-store.ts",
      "runtime.ts",
      // Parts of what stores share, which no engine runs.
      "transaction-rounds.ts",
      "trial.ts",
    ]);
  });
});

function withoutComments(path: string): string {
  return readFileSync(path, "utf8").replaceAll(/\/\*.*?\*\/|\/\/[^\n]*/gs, "");
}

describe("exported names", () => {
  // Each idea has one word, from the glossary; these are other words for some of them.
  const foreign = /\b(lock|acquired?|ttl|cached?|duplicate error|steal|pending|namespace)\b/;
  const inWords = (name: string) => name.replaceAll(/([a-z])([A-Z])|_/g, "$1 $2").toLowerCase();

  const entries = packages.flatMap(({ folder, manifest }) =>
    Object.values(manifest.exports ?? {}).map((entry) => join(folder, entry["@idemkit/source"])),
  );
  const program = ts.createProgram(entries, {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    customConditions: ["@idemkit/source"],
    allowImportingTsExtensions: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2023,
  });
  const checker = program.getTypeChecker();

  for (const entry of entries) {
    test(`of ${entry.slice(root.length)} keep to the glossary, their members too`, () => {
      const file = program.getSourceFile(entry);
      const symbol = file && checker.getSymbolAtLocation(file);
      const exported = symbol ? checker.getExportsOfModule(symbol) : [];
      expect(exported.length).toBeGreaterThan(0);
      const names = exported.flatMap((each) => {
        const target = each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each) : each;
        return [each.name, ...[...(target.members?.keys() ?? [])].map(String)];
      });
      expect(names.filter((name) => foreign.test(inWords(name)))).toEqual([]);
    });
  }
});
