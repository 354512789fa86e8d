import { createEngine, memoryStore, type Store } from "@idemkit/engine";
import type { App, Binding, Row } from "./lab.ts";

/** Long enough for a busy machine, short enough for rows that wait for it. */
const LEASE_MS = 600;

/**
 * Proves one row on one binding.
 *
 * @param store what the records are kept in
 * @param makeEngine the engine's own, or a broken one
 * @throws what tells that the rule does not hold
 */
export async function prove(
  row: Row,
  binding: Binding,
  store: Store = memoryStore(),
  makeEngine: typeof createEngine = createEngine,
): Promise<void> {
  const engine = makeEngine({ store, leaseMs: LEASE_MS });
  const apps: App[] = [];
  try {
    await row.prove({
      ...{ binding, store, engine, createEngine: makeEngine },
      serve: async (plan, own = engine) => {
        const app = await binding.start(own, plan);
        apps.push(app);
        return app;
      },
    });
  } finally {
    for (const app of apps) await app.close();
    await engine.close({ graceMs: 100 });
  }
}
