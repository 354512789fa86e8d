import { defineConfig } from "vitest/config";

const source = { conditions: ["@idemkit/source"] };

const postgres = "./test-servers/src/postgres-setup.ts";

const mysql = "./test-servers/src/mysql-setup.ts";

const redis = "./test-servers/src/redis-setup.ts";

/** Tests that need servers, by the name of their project, and what starts them. */
const onServers = [
  {
    name: "store-postgres",
    include: ["packages/store-postgres/test/**/*.test.ts"],
    setup: [postgres],
  },
  { name: "store-mysql", include: ["packages/store-mysql/test/**/*.test.ts"], setup: [mysql] },
  { name: "store-redis", include: ["packages/store-redis/test/**/*.test.ts"], setup: [redis] },
  {
    name: "inventory-ingest",
    include: ["examples/inventory-ingest/test/postgres.test.ts"],
    setup: [postgres],
  },
  {
    name: "orders",
    include: ["examples/orders/test/on-servers.test.ts"],
    setup: [mysql, postgres],
  },
  {
    name: "payments",
    include: ["examples/fastify-payments/test/on-postgres.test.ts"],
    setup: [postgres],
  },
  { name: "documents", include: ["test/docs.test.ts"], setup: [mysql, postgres, redis] },
];

export default defineConfig({
  resolve: source,
  ssr: { resolve: source },
  test: {
    testTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: "without servers",
          include: [
            "packages/*/test/**/*.test.ts",
            "examples/*/test/**/*.test.ts",
            "simulation/test/**/*.test.ts",
            "http-suite/test/**/*.test.ts",
            "test/**/*.test.ts",
          ],
          exclude: onServers.flatMap(({ include }) => include),
          typecheck: {
            include: ["packages/*/test/**/*.test-d.ts"],
            tsconfig: "./tsconfig.json",
          },
        },
      },
      ...onServers.map(({ name, include, setup }) => ({
        extends: true as const,
        test: { name, include, globalSetup: setup },
      })),
    ],
    coverage: {
      include: ["packages/*/src/**"],
      reporter: ["text-summary", "html"],
      thresholds: { lines: 95, branches: 90 },
    },
  },
});
