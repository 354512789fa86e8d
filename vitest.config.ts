import { defineConfig } from "vitest/config";

const source = { conditions: ["@idemkit/source"] };

export default defineConfig({
  resolve: source,
  ssr: { resolve: source },
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "examples/*/test/**/*.test.ts",
      "simulation/test/**/*.test.ts",
      "test/**/*.test.ts",
    ],
    testTimeout: 30_000,
    typecheck: {
      include: ["packages/*/test/**/*.test-d.ts"],
      tsconfig: "./tsconfig.json",
    },
    coverage: {
      include: ["packages/*/src/**"],
      reporter: ["text-summary", "html"],
      thresholds: { lines: 95, branches: 90 },
    },
  },
});
