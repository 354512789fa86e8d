import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter, once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import swagger from "@fastify/swagger";
import { createEngine, memoryStore } from "@idemkit/engine";
import fastify, { type FastifyPluginAsync, type RouteHandlerMethod } from "fastify";
import { describe, expect, test } from "vitest";
import { idempotency, idempotencyTransform } from "../src/index.ts";

const options = { engine: createEngine({ store: memoryStore() }), scope: () => "ada" };

function post(url: string, key = "k") {
  return { method: "POST", url, headers: { "idempotency-key": key }, payload: { a: 1 } } as const;
}

describe("the Fastify plugin", () => {
  test("refuses to leave a route without protection that was declared before it", async () => {
    const app = fastify();
    let runs = 0;
    app.post("/early", { config: { idempotency: true } }, async () => ++runs);
    await app.register(idempotency, options);
    const answer = await app.inject(post("/early"));
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toMatchObject({ message: expect.stringContaining("declared before") });
    expect(runs).toBe(0);
    await app.close();
  });

  test("protects routes that ask for it, in child contexts too, and no others", async () => {
    const app = fastify();
    const runs = { asked: 0, other: 0, child: 0 };
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/asked", { config: { idempotency: true } }, async () => ++runs.asked);
    app.post("/other", async () => ++runs.other);
    const child: FastifyPluginAsync = async (own) => {
      own.post("/child", { config: { idempotency: true } }, async () => ++runs.child);
    };
    await app.register(child, { prefix: "/v1" });
    for (const url of ["/asked", "/asked", "/other", "/other"]) await app.inject(post(url, url));
    for (const key of ["c", "c"]) await app.inject(post("/v1/child", key));
    expect(runs).toEqual({ asked: 1, other: 2, child: 1 });
    await app.close();
  });

  test("refuses to run a handler whose hooks another plugin has replaced", async () => {
    const app = fastify();
    let runs = 0;
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.addHook("onRoute", (route) => {
      route.preHandler = [async () => undefined];
      if (route.url === "/parsed") route.preParsing = async (_request, _reply, payload) => payload;
    });
    for (const url of ["/", "/parsed"]) {
      app.post(url, { config: { idempotency: true } }, async () => ({ run: ++runs }));
    }
    const answer = await app.inject(post("/parsed"));
    expect(answer.statusCode).toBe(500);
    expect(answer.json().message).toContain("its preParsing hook is gone");
    expect(runs).toBe(0);
    for (let time = 0; time < 2; time += 1) {
      expect((await app.inject(post("/"))).json()).toEqual({ run: 1 });
    }
    await app.close();
  });

  test("takes other options for a route", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    const config = { idempotency: { required: false, replayHeader: "X-Again" } };
    app.post("/", { config }, async () => ({}));
    expect((await app.inject({ method: "POST", url: "/" })).statusCode).toBe(200);
    await app.inject(post("/"));
    expect((await app.inject(post("/"))).headers["x-again"]).toBe("true");
    await app.close();
  });

  test("says at once which option is wrong", async () => {
    const app = fastify();
    const wrong = { ...options, on5xx: "rerun" } as never;
    await expect(app.register(idempotency, wrong).ready()).rejects.toThrow(/^on5xx: expected/);
  });

  test("runs a handler once that sends without saying so to Fastify", async () => {
    const app = fastify();
    let runs = 0;
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/forgets", { config: { idempotency: true } }, async (_request, reply) => {
      runs += 1;
      void reply.code(201).send({ run: runs });
    });
    app.post("/callback", { config: { idempotency: true } }, (_request, reply) => {
      runs += 1;
      setTimeout(() => void reply.code(201).send({ run: runs }), 20);
    });
    for (const url of ["/forgets", "/callback"]) {
      runs = 0;
      const first = await app.inject(post(url, url));
      const second = await app.inject(post(url, url));
      expect([first.statusCode, second.statusCode]).toEqual([201, 201]);
      expect([first.json(), second.json()]).toEqual([{ run: 1 }, { run: 1 }]);
      expect(second.headers["idempotency-replayed"]).toBe("true");
    }
    await app.close();
  });

  test("records what an error handler of the app's own has answered", async () => {
    const app = fastify();
    let runs = 0;
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.setErrorHandler((error: Error, _request, reply) =>
      reply.code(409).header("x-reason", "stock").send({ told: error.message }),
    );
    app.post("/", { config: { idempotency: true } }, async () => {
      throw new Error(`run ${++runs}`);
    });
    const first = await app.inject(post("/"));
    const second = await app.inject(post("/"));
    expect(second.json()).toEqual({ told: "run 1" });
    expect([second.statusCode, second.headers["x-reason"]]).toEqual([409, "stock"]);
    expect(first.body).toBe(second.body);
    await app.close();
  });

  test("shows protected routes in an OpenAPI description, and changes no validation", async () => {
    const app = fastify();
    const own = { ...options, engine: freshEngine() };
    await app.register(swagger, { openapi: {}, transform: idempotencyTransform(own) });
    await app.register(idempotency, own);
    app.post("/orders", { config: { idempotency: true } }, async () => ({}));
    app.post("/open", async () => ({}));
    await app.ready();
    const { paths } = app.swagger() as { readonly paths?: Readonly<Record<string, unknown>> };
    expect(paths?.["/orders"]).toMatchObject({
      post: {
        parameters: [{ name: "Idempotency-Key", in: "header", required: true }],
        responses: { 400: {}, 409: {}, 422: {}, 503: {} },
      },
    });
    expect(paths?.["/open"]).not.toHaveProperty("post.parameters");
    expect((await app.inject({ method: "POST", url: "/orders" })).json()).toMatchObject({
      code: "key-missing",
    });
    await app.close();
  });
});

function freshEngine() {
  return createEngine({ store: memoryStore() });
}

describe("a Fastify handler that answers by a callback", () => {
  test("keeps its key beyond a time-out, and what it sends then is its outcome", async () => {
    const app = fastify();
    const checked = new EventEmitter();
    let runs = 0;
    const engine = createEngine({ store: memoryStore(), guarantee: "at-least-once" });
    await app.register(idempotency, { engine, scope: () => "ada" });
    app.addHook("preHandler", async (_request, reply) => {
      const timer = setTimeout(() => void reply.code(503).send({ late: true }), 50);
      reply.raw.once("close", () => clearTimeout(timer));
    });
    app.post("/", { config: { idempotency: true } }, (_request, reply) => {
      runs += 1;
      checked.once("done", () => void reply.code(201).send({ run: runs }));
    });
    expect((await app.inject(post("/"))).statusCode).toBe(503);
    expect((await app.inject(post("/"))).statusCode).toBe(409);
    checked.emit("done");
    await expect.poll(async () => (await app.inject(post("/"))).statusCode).toBe(201);
    expect((await app.inject(post("/"))).json()).toEqual({ run: 1 });
    expect(runs).toBe(1);
    await app.close();
  });

  test("is waited for after it has returned its reply, though the client has left", async () => {
    const app = fastify();
    const checked = new EventEmitter();
    let runs = 0;
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
      runs += 1;
      checked.once("done", () => void reply.code(201).send({ real: true }));
      return reply;
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    const sent = { method: "POST", headers: { "idempotency-key": "k" } };
    const leaving = new AbortController();
    const first = fetch(origin, { ...sent, signal: leaving.signal });
    await expect.poll(() => runs, { timeout: 10_000 }).toBe(1);
    leaving.abort();
    await expect(first).rejects.toThrow();
    expect((await fetch(origin, sent)).status).toBe(409);
    checked.emit("done");
    await expect.poll(async () => (await fetch(origin, sent)).status).toBe(201);
    expect(runs).toBe(1);
    await app.close();
  });

  test("is done when it has taken its reply away from Fastify", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/value", { config: { idempotency: true } }, async (_request, reply) =>
      reply.hijack().raw.end("x"),
    );
    app.post("/later", { config: { idempotency: true } }, (_request, reply) => {
      reply.hijack();
      setTimeout(() => reply.raw.end("x"), 20);
    });
    app.post("/raw", { config: { idempotency: true } }, async (_request, reply) => {
      reply.raw.writeHead(200, { "content-type": "text/event-stream" });
      reply.raw.end("data: 1\n\n");
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    for (const url of ["/value", "/later", "/raw"]) {
      const sent = { method: "POST", headers: { "idempotency-key": url } };
      await (await fetch(`${origin}${url}`, sent)).text();
      const code = async () => {
        const answer = (await (await fetch(`${origin}${url}`, sent)).json()) as { code: string };
        return answer.code;
      };
      await expect.poll(code).toBe("response-not-stored");
    }
    await app.close();
  });

  test("is not protected by a route whose methods are not", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    const declare = () => app.put("/", { config: { idempotency: true } }, async () => ({}));
    expect(declare).toThrow(/asks for idempotency, and has the method PUT alone/);
    await app.close();
  });
});

describe("a Fastify replay", () => {
  test("goes through hooks that expect text, and so does a problem", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.addHook("onSend", async (_request, _reply, payload) =>
      (payload as string).replace("secret", "hidden"),
    );
    app.post("/", { config: { idempotency: true } }, async () => ({ word: "secret" }));
    const first = await app.inject(post("/"));
    const second = await app.inject(post("/"));
    expect([first.json(), second.json()]).toEqual([{ word: "hidden" }, { word: "hidden" }]);
    const other = await app.inject({ ...post("/"), payload: { a: 2 } });
    expect(other.json()).toMatchObject({ code: "key-reused" });
    await app.close();
  });
});

describe("a Fastify response on its way", () => {
  /** Hooks that take their time, and somebody who answers the first request while they do. */
  async function slowly(status: number, delayMs: number) {
    const app = fastify();
    const engine = createEngine({ store: memoryStore() });
    await app.register(idempotency, { engine, scope: () => "ada" });
    app.addHook("onSend", async (_request, _reply, payload) => {
      await pause(80);
      return payload;
    });
    let isFirst = true;
    app.addHook("preHandler", async (_request, reply) => {
      if (!isFirst) return;
      isFirst = false;
      const timer = setTimeout(() => void reply.code(status).send({ late: true }), delayMs);
      reply.raw.once("close", () => clearTimeout(timer));
    });
    return app;
  }

  test.each([408, 503])("is the outcome, though %i is set meanwhile", async (status) => {
    const app = await slowly(status, 60);
    let runs = 0;
    app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
      runs += 1;
      await pause(30);
      return reply.code(201).send({ real: runs });
    });
    await app.inject(post("/"));
    await expect.poll(async () => (await app.inject(post("/"))).statusCode).toBe(201);
    expect((await app.inject(post("/"))).json()).toEqual({ real: 1 });
    expect(runs).toBe(1);
    await app.close();
  });

  test("is whole for a client that left", async () => {
    const app = await slowly(503, 10_000);
    app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
      await pause(150);
      return reply.code(201).send({ id: "ch-1" });
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    const sent = { method: "POST", headers: { "idempotency-key": "k" } };
    await expect(fetch(origin, { ...sent, signal: AbortSignal.timeout(50) })).rejects.toThrow();
    await expect.poll(async () => (await fetch(origin, sent)).status).toBe(201);
    expect(await (await fetch(origin, sent)).json()).toEqual({ id: "ch-1" });
    await app.close();
  });

  test("is the first one where the handler sends another, or fails after that", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/throws", { config: { idempotency: true } }, async (_request, reply) => {
      void reply.code(201).send({ a: 1 });
      throw new Error("late");
    });
    app.post("/twice", { config: { idempotency: true } }, async (_request, reply) => {
      void reply.code(201).send({ a: 1 });
      void reply.send({ b: 2 });
    });
    for (const url of ["/throws", "/twice"]) {
      const first = await app.inject(post(url, url));
      const second = await app.inject(post(url, url));
      expect([first.json(), second.json()]).toEqual([{ a: 1 }, { a: 1 }]);
    }
    await app.close();
  });

  test("may be sent from a context of somebody else's", async () => {
    const app = fastify();
    const jobs = new EventEmitter();
    const other = new AsyncLocalStorage<string>();
    const timer = other.run("other", () => setInterval(() => jobs.emit("tick"), 10));
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/:status", { config: { idempotency: true } }, (request, reply) => {
      const { status } = request.params as { readonly status: string };
      jobs.once("tick", () => void reply.code(Number(status)).send({ status }));
    });
    for (const status of [201, 503]) {
      const first = await app.inject(post(`/${status}`, `${status}`));
      const second = await app.inject(post(`/${status}`, `${status}`));
      expect([first.statusCode, second.statusCode]).toEqual([status, status]);
      expect(second.headers["idempotency-replayed"]).toBe("true");
    }
    clearInterval(timer);
    await app.close();
  });

  test("gives the key back at once where it says so, however it is sent", async () => {
    const app = fastify();
    let runs = 0;
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
      runs += 1;
      return reply.code(429).send({ runs });
    });
    for (const run of [1, 2, 3]) {
      expect((await app.inject(post("/"))).json()).toEqual({ runs: run });
    }
    await app.close();
  });

  test("that may give the key back is sent when the handler is done", async () => {
    const app = fastify();
    const checked = new EventEmitter();
    let [now, most] = [0, 0];
    const engine = createEngine({ store: memoryStore(), guarantee: "at-least-once" });
    await app.register(idempotency, { engine, scope: () => "ada" });
    app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
      now += 1;
      most = Math.max(most, now);
      await reply.code(503).send({ busy: true });
      await once(checked, "done");
      now -= 1;
    });
    const first = app.inject(post("/"));
    await expect.poll(() => now).toBe(1);
    expect((await app.inject(post("/"))).statusCode).toBe(409);
    checked.emit("done");
    expect((await first).statusCode).toBe(503);
    const second = app.inject(post("/"));
    await expect.poll(() => now).toBe(1);
    checked.emit("done");
    expect([(await second).statusCode, most]).toEqual([503, 1]);
    await app.close();
  });
});

describe("a Fastify handler whose client got a timeout's response", () => {
  const outcomes = [
    ["returns a value", 200],
    ["sends later", 200],
    ["calls the not-found handler", 404],
    ["takes its reply", 409],
  ] as const;
  test.each(outcomes)("and that %s has its own outcome, %i", async (what, status) => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    app.addHook("preHandler", async (_request, reply) => {
      const timer = setTimeout(() => void reply.code(503).send({ late: true }), 30);
      reply.raw.once("close", () => clearTimeout(timer));
    });
    const sends: RouteHandlerMethod = (_request, reply) => {
      setTimeout(() => {
        if (!reply.sent) void reply.send({ real: true });
      }, 100);
    };
    const returns: RouteHandlerMethod = async (_request, reply) => {
      await pause(100);
      if (what === "calls the not-found handler") reply.callNotFound();
      else if (what === "takes its reply") reply.hijack();
      else if (!reply.sent) return { real: true };
      return reply;
    };
    app.post("/", { config: { idempotency: true } }, what === "sends later" ? sends : returns);
    expect((await app.inject(post("/"))).statusCode).toBe(503);
    const settled = async () => {
      const { statusCode, json } = await app.inject(post("/"));
      return json<{ code?: string }>().code === "in-progress" ? undefined : statusCode;
    };
    await expect.poll(settled).toBe(status);
    await app.close();
  });
});

describe("a mistake in the set-up is told where it is made", () => {
  test.each([
    ["yes", "The route /x, config.idempotency: expected true, false or options"],
    [{ require: false }, "The route /x, config.idempotency: require: no such option"],
  ])("config.idempotency: %j", async (wrong, message) => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    const declare = () =>
      app.post("/x", { config: { idempotency: wrong as never } }, async () => 1);
    expect(declare).toThrow(message);
    await app.close();
  });

  test("the plugin is registered once", async () => {
    const app = fastify();
    await app.register(idempotency, { ...options, engine: freshEngine() });
    const again = app.register(idempotency, { ...options, engine: freshEngine() });
    await expect(again.ready()).rejects.toThrow("Register it once, at the root.");
  });

  test("a scope that answers nothing asks for authentication", async () => {
    const app = fastify();
    await app.register(idempotency, { engine: freshEngine(), scope: () => "" });
    app.post("/", { config: { idempotency: true } }, async () => ({}));
    const answer = await app.inject(post("/"));
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toMatchObject({ message: expect.stringContaining("Is authentication") });
    await app.close();
  });
});

test("a timeout whose hooks are slow sends one response, whole, though the handler ends meanwhile", async () => {
  const app = fastify();
  await app.register(idempotency, { ...options, engine: freshEngine() });
  const sent: unknown[] = [];
  app.addHook("onSend", async (_request, _reply, payload) => {
    await pause(100);
    sent.push(payload);
    return payload;
  });
  let isFirst = true;
  app.addHook("preHandler", async (_request, reply) => {
    if (isFirst) setTimeout(() => void reply.code(503).send({ late: true }), 20);
    isFirst = false;
  });
  app.post("/", { config: { idempotency: true } }, async (_request, reply) => {
    await pause(60);
    reply.code(201);
    return { real: true };
  });
  const first = await app.inject(post("/"));
  expect([first.statusCode, first.json()]).toEqual([503, { late: true }]);
  expect(sent).toHaveLength(1);
  const second = await app.inject(post("/"));
  expect([second.statusCode, second.json()]).toEqual([201, { real: true }]);
  await app.close();
});
