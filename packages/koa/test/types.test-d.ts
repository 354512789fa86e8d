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

test("a fingerprint is never undefined, and verify returns a boolean", () => {
  const options = { engine, scope: () => "a" };
  idempotency({ ...options, fingerprint: (ctx) => ctx.path });
  idempotency({ ...options, fingerprint: async () => ({ amount: 5 }) });
  idempotency({ ...options, fingerprint: { exclude: ["/attempts"] }, verify: async () => true });
  // @ts-expect-error The function may return undefined.
  idempotency({ ...options, fingerprint: (ctx) => ctx.path || undefined });
  // @ts-expect-error There is no such fingerprint.
  idempotency({ ...options, fingerprint: true });
  // @ts-expect-error A pointer is no list.
  idempotency({ ...options, fingerprint: { exclude: "/attempts" } });
  // @ts-expect-error There is no return.
  idempotency({ ...options, verify: (ctx) => void ctx.get("x-signature") });
});
