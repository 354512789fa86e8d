import { createEngine, memoryStore } from "@idemkit/engine";
import fastify from "fastify";
import { expectTypeOf, test } from "vitest";
import { type IdempotencyState, idempotency } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });

test("the state of a request is typed, and so is what a route may ask for", async () => {
  const app = fastify();
  await app.register(idempotency, { engine, scope: (request) => request.ip });
  app.post("/", { config: { idempotency: { required: false } } }, async (request) => {
    expectTypeOf(request.idempotency).toEqualTypeOf<IdempotencyState | undefined>();
    return {};
  });
  // @ts-expect-error Whether a key is required is a boolean.
  app.post("/wrong", { config: { idempotency: { required: "no" } } }, async () => ({}));
});
