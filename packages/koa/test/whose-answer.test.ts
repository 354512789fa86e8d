import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { createEngine, memoryStore } from "@idemkit/engine";
import Koa, { type Context, type Middleware } from "koa";
import { describe, expect, onTestFinished, test } from "vitest";
import { idempotency } from "../src/index.ts";

/**
 * An app that is answered for by `late` after a while, the first time.
 *
 * @param outer what stands around that
 */
async function served(
  handler: (ctx: Context) => unknown,
  late?: (ctx: Context) => void,
  outer?: Middleware,
) {
  const app = new Koa();
  app.silent = true;
  if (outer !== undefined) app.use(outer);
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
  return { origin, response, post, runs: () => runs };
}

/** As a session does that writes to its store before the response goes out. */
const heldUp: Middleware = async (_ctx, next) => {
  await next();
  await pause(150);
};

const notNow = (ctx: Context) => {
  ctx.status = 429;
  ctx.body = { error: "not now" };
};

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
    // A handler that sets no body may have lost its context: what it has set elsewhere is not known.
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

  const inPlace: readonly (readonly [string, (ctx: Context) => unknown, number, string])[] = [
    [
      "what the handler had set",
      async (ctx) => {
        ctx.status = 201;
        ctx.body = { real: true };
        await pause(120);
      },
      201,
      '{"real":true}',
    ],
    [
      "the stream that it had set",
      async (ctx) => {
        ctx.status = 201;
        ctx.body = Readable.from([Buffer.from("receipt")], { objectMode: false });
        await pause(120);
      },
      201,
      "receipt",
    ],
    [
      "the body alone that it sets then",
      async (ctx) => {
        await pause(120);
        ctx.body = { real: true };
      },
      200,
      '{"real":true}',
    ],
    ["that it is done, where it sets nothing", () => pause(120), 409, "response-not-stored"],
  ];
  test.each(inPlace)(
    "while a time-out's answer is held up outside, the outcome is %s",
    async (_name, handler, status, text) => {
      const { post, runs } = await served(handler, notNow, heldUp);
      expect((await post()).status).toBe(429);
      const outcome = await post();
      expect([outcome.status, runs()]).toEqual([status, 1]);
      expect(outcome.text).toContain(text);
    },
  );

  test("a time-out that answers while a stream is read sends its own body", async () => {
    const { post, runs } = await served(
      (ctx) => {
        ctx.status = 201;
        const parts = async function* () {
          yield Buffer.from("a");
          await pause(120);
          yield Buffer.from("b");
        };
        ctx.body = Readable.from(parts(), { objectMode: false });
      },
      notNow,
      heldUp,
    );
    expect(await post()).toEqual({ status: 429, text: '{"error":"not now"}' });
    expect([await post(), runs()]).toEqual([{ status: 201, text: "ab" }, 1]);
  });

  test("a stream that is not sent is closed", async () => {
    const streams: Readable[] = [];
    const { post } = await served(
      async (ctx) => {
        const endless = new Readable({ read: () => undefined });
        endless.push(Buffer.alloc(2 * 1024 * 1024));
        streams.push(endless);
        ctx.body = endless;
        await pause(120);
      },
      tooLate,
      heldUp,
    );
    expect((await post()).status).toBe(503);
    await expect.poll(() => streams.map(({ destroyed }) => destroyed)).toEqual([true]);
  });

  test("a stream that the handler pipes by itself is left to it", async () => {
    const { post } = await served((ctx) => {
      const stream = Readable.from([Buffer.from("piped")], { objectMode: false });
      ctx.body = stream;
      ctx.respond = false;
      stream.pipe(ctx.res);
    });
    expect((await post()).text).toBe("piped");
  });

  test("what listens for headers is heard for the first response, outside and inside", async () => {
    const listens = (name: string): Middleware =>
      async function listens({ res }, next) {
        const { writeHead } = res;
        res.writeHead = ((...args: never) => {
          res.setHeader(name, "1");
          return writeHead.apply(res, args);
        }) as typeof writeHead;
        await next();
      };
    const inside = listens("x-inside");
    const { response } = await served(
      async (ctx) => {
        await inside(ctx, async () => undefined);
        ctx.body = "done";
      },
      undefined,
      listens("x-outside"),
    );
    const { headers } = await response();
    expect([headers.get("x-outside"), headers.get("x-inside")]).toEqual(["1", "1"]);
  });

  test("a connection is good for another request after a body that is too large", async () => {
    const { origin } = await served((ctx) => {
      ctx.body = "done";
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const send = async (key: string, bytes: number) => {
      const headers = { "idempotency-key": key, "content-length": bytes };
      const sent = request(origin, { method: "POST", agent, headers }).end(
        Buffer.alloc(bytes, "a"),
      );
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      await once(answer.resume(), "end");
      return [answer.statusCode, sent.reusedSocket];
    };
    expect(await send("large", 1_500_000)).toEqual([413, false]);
    expect(await send("small", 10)).toEqual([200, true]);
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
