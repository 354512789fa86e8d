import { createEngine, memoryStore } from "@idemkit/engine";
import fastify from "fastify";
import { expectTypeOf, test } from "vitest";
import {
  type IdempotencyState,
  idempotency,
  idempotencyStatus,
  type RouteIdempotency,
} from "../src/index.ts";

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

test("the status endpoint is a handler of an HTTP/2 application as well", () => {
  const engine = createEngine({ store: memoryStore() });
  const app = fastify({ http2: true });
  app.get("/keys/:key", idempotencyStatus({ engine, scope: () => "ada" }));
});

test("a misspelt option of a route does not compile where it is marked as such", () => {
  const config = { idempotency: { onDuplicate: "reject" } satisfies RouteIdempotency };
  fastify().post("/orders", { config }, async () => ({}));
  // @ts-expect-error There is no such option.
  ({ onDuplikate: "reject" }) satisfies RouteIdempotency;
});
