import { setTimeout as sleep } from "node:timers/promises";
import { createEngine, type Engine, memoryStore } from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { describe, expect, onTestFinished, test } from "vitest";
import { fastifyBinding, koaBinding, send } from "../src/index.ts";
import type { Binding, Exchange, Plan } from "../src/lab.ts";
import { expectProblem, expectReplay, hanging, until } from "../src/rows/row.ts";

const BINDINGS: readonly Binding[] = [fastifyBinding(fastifyModule), koaBinding(koaModule)];
const RECORDING: readonly (readonly [string, NonNullable<Plan["options"]>])[] = [
  ["the stripe preset", { preset: "stripe" }],
  ["classify: record", { classify: () => "record" }],
  ["classify: release", { classify: () => "release" }],
  ["classify: stub", { classify: () => "stub" }],
];

async function serving(binding: Binding, engine: Engine, plan: Plan) {
  const app = await binding.start(engine, plan);
  onTestFinished(() => app.close());
  return async () => await send(app.origin, { key: "k" });
}

for (const binding of BINDINGS) {
  describe(`on ${binding.name}`, () => {
    for (const [name, options] of RECORDING) {
      for (const [how, end] of [
        ["throws", (_exchange: Exchange, error: unknown) => Promise.reject(error)],
        [
          "responds with 503",
          (exchange: Exchange) => {
            exchange.status(503);
            return exchange.send({ busy: true });
          },
        ],
      ] as const) {
        test(`${name} decides nothing about a handler that ${how} after an abort`, async () => {
          const store = memoryStore();
          const engine = createEngine({ store, leaseMs: 300 });
          let isRunning = false;
          const post = await serving(binding, engine, {
            options,
            handler: async (exchange) => {
              isRunning = true;
              const error: unknown = await hanging(exchange).catch((thrown: unknown) => thrown);
              return await end(exchange, error);
            },
          });
          const first = post();
          await until(() => isRunning);
          await engine.close({ graceMs: 0 });
          expect((await first).status).toBe(503);
          const next = createEngine({ store });
          await sleep(400);
          expect(await next.inspect("ada", "k")).toMatchObject({ state: "lapsed" });
        });
      }
    }

    test("classify comes before onError for an error that the handler throws", async () => {
      const engine = createEngine({ store: memoryStore(), onError: () => "release" });
      const post = await serving(binding, engine, {
        options: { classify: ({ error }) => (error === undefined ? undefined : "record") },
        handler: () => {
          throw new Error("recorded");
        },
      });
      const first = await post();
      expectReplay(first, await post());
    });

    test("classify: hold keeps the outcome of an error open", async () => {
      const engine = createEngine({ store: memoryStore(), onError: "release" });
      const post = await serving(binding, engine, {
        options: { classify: () => "hold" },
        handler: () => {
          throw new Error("held");
        },
      });
      expect((await post()).status).toBe(500);
      expectProblem(await post(), 409, "outcome-unknown");
    });
  });
}
