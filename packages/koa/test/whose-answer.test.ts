import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine, memoryStore } from "@idemkit/engine";
import Koa, { type Context } from "koa";
import { describe, expect, onTestFinished, test } from "vitest";
import { idempotency } from "../src/index.ts";

/** An app that is answered for by `late` after a while, the first time. */
async function served(handler: (ctx: Context) => unknown, late?: (ctx: Context) => void) {
  const app = new Koa();
  app.silent = true;
  let isFirst = true;
  if (late !== undefined) {
    app.use(async (ctx, next) => {
      const running = next();
      running.catch(() => undefined);
      if (!isFirst) return await running;
      isFirst = false;
      const isLate = await Promise.race([running.then(() => false), pause(60, true)]);
      if (isLate) late(ctx);
    });
  }
  const engine = createEngine({ store: memoryStore(), guarantee: "at-least-once" });
  let runs = 0;
  app.use(idempotency({ engine, scope: () => "ada" }));
  app.use(async (ctx) => {
    runs += 1;
    await handler(ctx);
  });
  const server = createServer(app.callback());
  onTestFinished(() => void server.close().closeAllConnections());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const response = () => fetch(origin, { method: "POST", headers: { "idempotency-key": "k" } });
  const post = async () => {
    const answer = await response();
    return { status: answer.status, text: await answer.text() };
  };
  return { response, post, runs: () => runs };
}

const tooLate = (ctx: Context) => {
  ctx.status = 503;
  ctx.body = { error: "slow" };
};

describe("whose answer it is, with Koa", () => {
  test("a stream that the handler has set outlives a time-out that sets another body", async () => {
    const { post, runs } = await served(async (ctx) => {
      ctx.status = 201;
      ctx.body = Readable.from([Buffer.from("receipt")], { objectMode: false });
      await pause(200);
    }, tooLate);
    expect(await post()).toEqual({ status: 503, text: '{"error":"slow"}' });
    await expect.poll(async () => (await post()).status).toBe(201);
    expect([await post(), runs()]).toEqual([{ status: 201, text: "receipt" }, 1]);
  });

  test("a stream of a time-out is not the handler's", async () => {
    const { post, runs } = await served(
      async (ctx) => {
        ctx.status = 201;
        ctx.body = { real: true };
        await pause(200);
      },
      (ctx) => {
        ctx.status = 503;
        ctx.body = Readable.from([Buffer.from("slow")], { objectMode: false });
      },
    );
    expect(await post()).toEqual({ status: 503, text: "slow" });
    await expect.poll(async () => (await post()).status).toBe(201);
    expect([await post(), runs()]).toEqual([{ status: 201, text: '{"real":true}' }, 1]);
  });

  test("a time-out that writes to the raw response is none of the handler's", async () => {
    const { post, runs } = await served(
      async (ctx) => {
        await pause(200);
        ctx.status = 201;
        ctx.body = { real: true };
      },
      (ctx) => {
        ctx.respond = false;
        ctx.res.writeHead(503).end("slow");
        ctx.respond = true;
      },
    );
    expect((await post()).status).toBe(503);
    await expect.poll(async () => (await post()).status).toBe(201);
    expect([await post(), runs()]).toEqual([{ status: 201, text: '{"real":true}' }, 1]);
  });

  test("a cookie that comes too late does not make the handler run again", async () => {
    const { post, runs } = await served(async (ctx) => {
      await pause(200);
      ctx.cookies.set("session", "ada");
    }, tooLate);
    expect((await post()).status).toBe(503);
    await expect.poll(async () => (await post()).text).toContain("response-not-stored");
    expect(runs()).toBe(1);
  });

  test("text that comes too late has the type that Koa would have given it", async () => {
    const { response, post, runs } = await served(async (ctx) => {
      await pause(200);
      ctx.status = 201;
      ctx.body = "<p>done</p>";
    }, tooLate);
    expect((await post()).status).toBe(503);
    await expect.poll(async () => (await post()).status).toBe(201);
    expect((await response()).headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(runs()).toBe(1);
  });

  test("what the handler writes to the raw response is not kept, whatever status it has set", async () => {
    const { post, runs } = await served((ctx) => {
      ctx.status = 201;
      ctx.res.end('{"id":1}');
    });
    expect(await post()).toEqual({ status: 201, text: '{"id":1}' });
    const { status, text } = await post();
    expect([status, JSON.parse(text), runs()]).toMatchObject([
      409,
      { code: "response-not-stored", originalStatus: 201 },
      1,
    ]);
  });

  test("a handler that sends its headers early sends its stream", async () => {
    const { post } = await served((ctx) => {
      ctx.type = "text/event-stream";
      ctx.flushHeaders();
      ctx.body = Readable.from([Buffer.from("data: 1\n\n")], { objectMode: false });
    });
    expect((await post()).text).toBe("data: 1\n\n");
    expect((await post()).text).toContain("response-not-stored");
  });
});
