import { createEngine, memoryStore } from "@idemkit/engine";
import Koa from "koa";
import { expectTypeOf, test } from "vitest";
import { type IdempotencyState, type IdempotentState, idempotency } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });

test("the state of a protected request is typed", () => {
  const app = new Koa<IdempotentState>();
  app.use(idempotency({ engine, scope: (ctx) => ctx.get("x-user") }));
  app.use((ctx) => {
    expectTypeOf(ctx.state.idempotency).toEqualTypeOf<IdempotencyState | undefined>();
  });
});

test("a protection without engine or scope, or with an option that is none, does not compile", () => {
  // @ts-expect-error There is no scope.
  idempotency({ engine });
  // @ts-expect-error There is no engine.
  idempotency({ scope: () => "a" });
  // @ts-expect-error There is no such policy.
  idempotency({ engine, scope: () => "a", on5xx: "rerun" });
  // @ts-expect-error There is no such option.
  idempotency({ engine, scope: () => "a", keyHeader: "Idempotency-Key" });
});
