import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { createEngine, memoryStore } from "@idemkit/engine";
import Koa, { type Middleware } from "koa";
import { expect, onTestFinished, test } from "vitest";
import { idempotency, type KoaOptions } from "../src/index.ts";

/** A parser that keeps no text, as many do. */
const parsesOnly: Middleware = async (ctx, next) => {
  Object.assign(ctx.request, { body: JSON.parse(await text(ctx.req)) });
  await next();
};

async function serving(options: Partial<KoaOptions>, ...before: readonly Middleware[]) {
  const engine = createEngine({ store: memoryStore() });
  const errors: Error[] = [];
  const app = new Koa();
  app.on("error", (error: Error) => errors.push(error));
  for (const middleware of before) app.use(middleware);
  app.use(idempotency({ engine, scope: () => "ada", ...options }));
  app.use(async (ctx) => {
    ctx.body = "body" in ctx.request ? "parsed" : await text(ctx.req);
  });
  const server = app.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close().closeAllConnections());
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const post = async (body: unknown) =>
    await fetch(origin, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "k" },
      body: JSON.stringify(body),
    });
  return { post, errors };
}

test("members of a body that only its parser has are left out by exclude", async () => {
  const { post } = await serving({ fingerprint: { exclude: ["/attempts", "/a~1b"] } }, parsesOnly);
  expect((await post({ id: 1, attempts: 1, "a/b": 1 })).status).toBe(200);
  expect((await post({ id: 1, attempts: 2 })).headers.get("idempotency-replayed")).toBe("true");
  expect((await post({ id: 2, attempts: 1 })).status).toBe(422);
  expect((await post({ id: 1, parsed: { attempts: 1 } })).status).toBe(422);
});

test("verify is not asked about a body whose bytes are lost, and nothing runs", async () => {
  const { post, errors } = await serving({ verify: () => true }, parsesOnly);
  expect((await post({ id: 1 })).status).toBe(500);
  expect(errors.map(({ message }) => message)).toEqual([
    expect.stringContaining("the bytes of the request's body are missing"),
  ]);
});

test("verify gets the bytes of a body that is unread, and the handler reads it after that", async () => {
  const seen: string[] = [];
  const { post } = await serving({
    verify: (_ctx, rawBody) => seen.push(rawBody.toString()) > 0,
  });
  expect(await (await post({ id: 1 })).text()).toBe('{"id":1}');
  expect(seen).toEqual(['{"id":1}']);
});
