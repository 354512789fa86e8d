import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts"],
  format: "esm",
  target: "node20",
  clean: true,
  // TypeScript 6 calls an option deprecated that tsup's declaration step still sets.
  dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
});
