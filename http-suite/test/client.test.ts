import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { createClient, IdempotencyDeadlineError } from "@idemkit/client";
import { createEngine, type Engine, memoryStore } from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { drawFates, startCuttingProxy } from "@idemkit/test-servers";
import { bodyParser } from "@koa/bodyparser";
import fastify from "fastify";
import Koa from "koa";
import { describe, expect, onTestFinished, test } from "vitest";
import { inParallel } from "../src/in-parallel.ts";
import { fastifyBinding, koaBinding } from "../src/index.ts";

const OPERATIONS = 150;
const CALLERS = 8;
const SEED = Number(process.env.HTTP_SUITE_SEED ?? 7);

for (const binding of [koaBinding(koaModule), fastifyBinding(fastifyModule)]) {
  describe(`@idemkit/client with ${binding.name}, on a network that resets, delays and drops`, () => {
    test("runs each operation once, and gets its outcome", async () => {
      const db = openSqlite(":memory:");
      await migrate(db);
      const engine = createEngine({ store: sqliteStore(db) });
      const runs = new Map<number, number>();
      const app = await binding.start(engine, {
        handler: async (exchange) => {
          const { operation } = exchange.body as { readonly operation: number };
          runs.set(operation, (runs.get(operation) ?? 0) + 1);
          // Some take longer than the client waits for one attempt.
          await pause(operation % 10 === 0 ? 450 : operation % 7);
          exchange.status(201);
          return exchange.send({ operation, run: runs.get(operation) });
        },
      });
      const proxy = await startCuttingProxy(app.origin, drawFates(SEED, 0.4, OPERATIONS));
      onTestFinished(async () => {
        await proxy.stop();
        await app.close();
        await engine.close();
      });
      let retries = 0;
      const client = createClient({
        deadlineMs: 25_000,
        attemptTimeoutMs: 300,
        onRetry: () => {
          retries += 1;
        },
      });
      let replays = 0;
      await inParallel(CALLERS, OPERATIONS, async (operation) => {
        const answer = await client.fetch(`${proxy.url}/orders`, {
          method: "POST",
          headers: { "content-type": "application/json", "x-user": "ada" },
          body: JSON.stringify({ operation }),
        });
        if (answer.replayed) replays += 1;
        // Half of an answer may arrive: then the same key gets it whole.
        const body = await answer.response.json().catch(async () => {
          const again = await client.fetch(
            `${app.origin}/orders`,
            {
              method: "POST",
              headers: { "content-type": "application/json", "x-user": "ada" },
              body: JSON.stringify({ operation }),
            },
            { key: answer.key },
          );
          expect(again.replayed).toBe(true);
          return await again.response.json();
        });
        expect([answer.response.status, body]).toEqual([201, { operation, run: 1 }]);
      });
      expect([...runs.values()]).toEqual(Array.from({ length: OPERATIONS }, () => 1));
      expect(retries).toBeGreaterThan(20);
      expect(replays).toBeGreaterThan(10);
    }, 120_000);

    test("a key that its deadline left open gets the outcome later, in another process", async () => {
      const db = openSqlite(":memory:");
      await migrate(db);
      const engine = createEngine({ store: sqliteStore(db) });
      let runs = 0;
      const app = await binding.start(engine, {
        handler: async (exchange) => {
          runs += 1;
          await pause(600);
          return exchange.send({ runs });
        },
      });
      onTestFinished(async () => {
        await app.close();
        await engine.close();
      });
      const init = {
        method: "POST",
        headers: { "content-type": "application/json", "x-user": "ada" },
        body: "{}",
      };
      const operation = createClient({ deadlineMs: 300, attemptTimeoutMs: 100 }).operation();
      const saved = JSON.stringify(operation);
      await expect(operation.fetch(`${app.origin}/orders`, init)).rejects.toThrow(
        IdempotencyDeadlineError,
      );
      const later = createClient().operation(JSON.parse(saved) as { key: string });
      const { response, replayed } = await later.fetch(`${app.origin}/orders`, init);
      expect([await response.json(), replayed, runs]).toEqual([{ runs: 1 }, true, 1]);
    });
  });
}

const PRESETS = ["ietf", "stripe"] as const;

interface Shop {
  readonly engine: Engine;
  readonly preset: (typeof PRESETS)[number];
  /** Places the order, and returns the body of the 201. */
  readonly place: () => Promise<object>;
}

/** The user's own lines: an application with the middleware or plugin of the binding, and no more. */
const starts: Readonly<Record<string, (shop: Shop) => Promise<string>>> = {
  Koa: async ({ place, ...options }) => {
    const app = new Koa();
    app.use(bodyParser()).use(koaModule.idempotency({ ...options, scope: () => "ada" }));
    app.use(async (ctx) => {
      ctx.status = 201;
      ctx.body = await place();
    });
    const server = app.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  },
  Fastify: async ({ place, ...options }) => {
    const app = fastify();
    await app.register(fastifyModule.idempotency, { ...options, scope: () => "ada" });
    app.post("/orders", { config: { idempotency: true } }, async (_request, reply) =>
      reply.code(201).send(await place()),
    );
    onTestFinished(async () => {
      app.server.closeAllConnections();
      await app.close();
    });
    return await app.listen({ port: 0, host: "127.0.0.1" });
  },
};

for (const [name, start] of Object.entries(starts)) {
  for (const preset of PRESETS) {
    test(`@idemkit/client with ${name} and the preset ${preset} replays the success of an order whose connection broke while it ran`, async () => {
      const engine = createEngine({ store: memoryStore() });
      const statuses: (number | undefined)[] = [];
      let orders = 0;
      // The order takes until a retry has got its 409. The limit is for a client that does not retry.
      let reportConflict = (): void => undefined;
      const conflict = new Promise<void>((resolve) => {
        reportConflict = resolve;
      });
      const place = async () => {
        orders += 1;
        await Promise.race([conflict, pause(5_000, undefined, { ref: false })]);
        return { order: orders };
      };
      const origin = await start({ engine, preset, place });
      const cuts = ["abandoned"] as const;
      let requests = 0;
      const proxy = await startCuttingProxy(origin, () => cuts[requests++] ?? "passed");
      onTestFinished(async () => {
        await proxy.stop();
        await engine.close();
      });
      const client = createClient({
        onRetry: ({ status }) => {
          statuses.push(status);
          if (status === 409) reportConflict();
        },
      });
      const { response, replayed } = await client.fetch(`${proxy.url}/orders`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"sku":"teapot"}',
      });
      expect([response.status, await response.json()]).toEqual([201, { order: 1 }]);
      expect([replayed, orders]).toEqual([true, 1]);
      expect(statuses.slice(0, 2)).toEqual([undefined, 409]);
    });
  }
}
