import { readFileSync } from "node:fs";
import { defineConfig } from "tsup";

type Exports = Record<string, { readonly "@idemkit/source": string }>;

// Each package is built from its own folder; what it exports says what has to be built.
const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { readonly exports: Exports };

export default defineConfig({
  entry: Object.values(manifest.exports).map((entry) => entry["@idemkit/source"]),
  format: "esm",
  target: "node20",
  // Bundlers and runtimes other than Node know Node's modules by this prefix alone.
  removeNodeProtocol: false,
  clean: true,
  // TypeScript 6 calls an option deprecated that tsup's declaration step still sets.
  dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
});
