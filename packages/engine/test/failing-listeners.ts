import { createEngine, memoryStore } from "../src/index.ts";

/** A program of its own whose listeners fail, as an uncaught error would end the test runner too. */
const engine = createEngine({ store: memoryStore() });
engine.on("completed", () => {
  throw new RangeError("text of a throw");
});
engine.on("completed", async () => {
  throw new RangeError("text of a rejection");
});
for (const key of ["a", "b"]) {
  const { value } = await engine.execute("s", key, null, () => key);
  await new Promise(setImmediate);
  process.stdout.write(`done: ${value}\n`);
}
