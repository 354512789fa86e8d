import swagger from "@fastify/swagger";
import { createEngine, memoryStore } from "@idemkit/engine";
import fastify, { type FastifyPluginAsync } from "fastify";
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
