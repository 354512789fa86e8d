import { createEngine, memoryStore } from "@idemkit/engine";
import { type IdempotentState, idempotency, ResponseError } from "@idemkit/koa";
import Koa from "koa";
import { expect, test } from "vitest";
import { send } from "../src/index.ts";
import { listening } from "./listening.ts";

test("a request that is protected twice is a mistake, and does not use its key up", async () => {
  const engine = createEngine({ store: memoryStore() });
  const protect = () => idempotency({ engine, scope: () => "ada" });
  const app = new Koa<IdempotentState>();
  const reported: unknown[] = [];
  app.on("error", (error: unknown) => reported.push(error));
  app.use(protect()).use(protect());
  app.use((ctx) => {
    ctx.body = { done: true };
  });
  const origin = await listening(app.callback());
  expect((await send(origin, { key: "k" })).status).toBe(500);
  expect(String(reported[0])).toContain("mount idempotency() once");
  expect(await engine.inspect("ada", "k")).toMatchObject({ state: "released" });
});

test("onError of the engine gets the ResponseError that the binding exports", async () => {
  const errors: unknown[] = [];
  const onError = (error: unknown) => {
    errors.push(error);
    return "record" as const;
  };
  const app = new Koa<IdempotentState>();
  app.use(
    idempotency({ engine: createEngine({ store: memoryStore(), onError }), scope: () => "ada" }),
  );
  app.use((ctx) => {
    ctx.status = 503;
    ctx.body = { busy: true };
  });
  await send(await listening(app.callback()), { key: "k" });
  expect(errors[0]).toBeInstanceOf(ResponseError);
  expect(errors[0]).toMatchObject({ status: 503 });
});
