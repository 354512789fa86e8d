import { openSqlite, sqliteStore } from "../src/index.ts";
import type { RemoteAnswer, RemoteCall } from "./other-process.ts";

// Serves one store to the process that forked this one.
const store = sqliteStore(openSqlite(process.argv[2] ?? ""));
const operations = store as unknown as Record<string, (...given: readonly unknown[]) => unknown>;

process.on("message", async ({ number, operation, given }: RemoteCall) => {
  const answer: RemoteAnswer = await Promise.resolve(operations[operation]?.(...given)).then(
    (value) => ({ number, answer: value }),
    (error: unknown) => ({ number, error: String(error) }),
  );
  process.send?.(answer);
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
