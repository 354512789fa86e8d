import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "@idemkit/engine";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Lab, Row } from "../lab.ts";
import { counting, expectProblem, expectReplay, hanging, row, until, viewOf } from "./row.ts";

const failing = (status: number, members?: object) => (exchange: Exchange, run: number) =>
  exchange.fail(status, `run ${run}`, members);

/** A row whose engine runs at least once. */
function atLeastOnce(
  title: string,
  answer: (exchange: Exchange, run: number) => unknown,
  runsWanted: number,
): Row {
  return {
    title,
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, guarantee: "at-least-once" });
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler }, engine);
      const first = await send(origin, { key: "k" });
      const second = await send(origin, { key: "k" });
      expect(runs()).toBe(runsWanted);
      expect(second.status).toBe(first.status);
      await engine.close();
    },
  };
}

/** A row whose engine closes while its handler runs. */
function closedDuring(title: string, answer: (exchange: Exchange) => Promise<never>): Row {
  return {
    title,
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, leaseMs: 300 });
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler }, engine);
      const first = send(origin, { key: "k" });
      await until(async () => runs() === 1);
      await engine.close({ graceMs: 0 });
      const { status, headers } = await first;
      expect([status, headers["retry-after"]]).toEqual([503, "1"]);
      const next = createEngine({ store });
      const restarted = await serve({ handler }, next);
      await until(async () => {
        const { records } = await next.list({ state: "lapsed" });
        return records.some(({ key }) => key === "k");
      });
      expectProblem(await send(restarted.origin, { key: "k" }), 409, "outcome-unknown");
      expect(runs()).toBe(1);
      await next.close();
    },
  };
}

async function withBrokenStore(
  { store, createEngine }: Lab,
  prove: (engine: Engine, fail: () => void) => Promise<void>,
): Promise<void> {
  let isBroken = false;
  const failing = viewOf(store, () => {
    if (isBroken) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  });
  const engine = createEngine({ store: failing, storeTimeoutMs: 200, leaseMs: 600 });
  await prove(engine, () => {
    isBroken = true;
  });
  await engine.close({ graceMs: 0 });
}

export const failureRows: readonly Row[] = [
  closedDuring("a handler that throws because the engine was closed leaves its key open", hanging),
  closedDuring(
    "a handler that wraps the error of a closed engine leaves its key open",
    (exchange) =>
      hanging(exchange).catch((cause: unknown) => {
        throw new Error("The order failed.", { cause });
      }),
  ),
  row(
    "a failure that the handler throws is replayed by the same error handling",
    {
      formatsErrors: true,
      answer: failing(402, { reason: "declined" }),
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first).toMatchObject({ status: 402, json: { formatted: true, message: "run 1" } });
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a failure that the framework responds to is replayed",
    { answer: failing(404) },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(404);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a failure's own headers are replayed",
    {
      answer: failing(409, { headers: { "X-Reason": "sold out" } }),
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      expect([first.headers["x-reason"], second.headers["x-reason"]]).toEqual([
        "sold out",
        "sold out",
      ]);
    },
  ),
  row(
    "headers that were set before a failure are replayed",
    {
      formatsErrors: true,
      answer: (exchange) => {
        exchange.header("X-Cost", "7");
        return exchange.fail(402, "declined");
      },
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      expect([first.headers["x-cost"], second.headers["x-cost"]]).toEqual(["7", "7"]);
    },
  ),
  row(
    "what nobody expected is recorded, and its message is not told",
    {
      answer: () => {
        throw new Error("at least once");
      },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(500);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row("a thrown 401 gives the key back", { answer: failing(401) }, async ({ post, runs }) => {
    await post({ key: "k" });
    expect(await post({ key: "k" })).toMatchObject({ status: 401, isReplayed: false });
    expect(runs()).toBe(2);
  }),
  ...[500, 502, 503].map((status) =>
    row(
      `${status} is recorded under at-most-once`,
      { answer: failing(status) },
      async ({ post, runs }) => {
        const first = await post({ key: "k" });
        expect(first.status).toBe(status);
        expectReplay(first, await post({ key: "k" }));
        expect(runs()).toBe(1);
      },
    ),
  ),
  atLeastOnce("a thrown 500 gives the key back under at-least-once", failing(500), 2),
  atLeastOnce(
    "an answered 503 gives the key back under at-least-once",
    (exchange) => {
      exchange.status(503);
      return exchange.send({ busy: true });
    },
    2,
  ),
  atLeastOnce(
    "201 is recorded under at-least-once",
    (exchange) => {
      exchange.status(201);
      return exchange.send({});
    },
    1,
  ),
  row(
    "on5xx: hold leaves the outcome open",
    { options: { on5xx: "hold" }, answer: failing(500) },
    async ({ post, runs, lab }) => {
      expect((await post({ key: "secret-key" })).status).toBe(500);
      expectProblem(await post({ key: "secret-key" }), 409, "outcome-unknown");
      expect(runs()).toBe(1);
      const record = await lab.engine.inspect("ada", "secret-key");
      expect(record).toMatchObject({ state: "unknown" });
    },
  ),
  row(
    "the retryable preset gives the key of a 5xx back",
    {
      options: { preset: "retryable" },
      answer: failing(500),
    },
    async ({ post, runs }) => {
      await post({ key: "k" });
      expect((await post({ key: "k" })).isReplayed).toBe(false);
      expect(runs()).toBe(2);
    },
  ),
  row(
    "classify decides before the table",
    {
      options: { classify: ({ status }) => (status === 200 ? "release" : undefined) },
      answer: (exchange, run) => {
        exchange.status(run === 1 ? 200 : 201);
        return exchange.send({ run });
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).status).toBe(200);
      const second = await post({ key: "k" });
      expectReplay(second, await post({ key: "k" }));
      expect(runs()).toBe(2);
    },
  ),
  row(
    "a classify that fails leaves it to the table",
    {
      options: {
        classify: (() => {
          throw new Error("misconfigured");
        }) as never,
      },
    },
    async ({ post, runs, reported }) => {
      const first = await post({ key: "k" });
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
      expect(reported).not.toEqual([]);
    },
  ),
  row(
    "a classify that answers what is none leaves it to the table",
    {
      options: { classify: (async () => "release") as never },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a stream that fails is a failure of the handler",
    {
      answer: (exchange) =>
        exchange.send(
          Readable.from(
            (async function* () {
              yield Buffer.from("half");
              await pause(10);
              throw new Error("the disk is gone");
            })(),
            { objectMode: false },
          ),
        ),
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(500);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  {
    title: "a store that is down is 503 at once, and the handler does not run",
    prove: async (lab) =>
      await withBrokenStore(lab, async (engine, fail) => {
        const { handler, runs } = counting();
        const app = await lab.serve({ handler }, engine);
        fail();
        const answer = await send(app.origin, { key: "secret-key" });
        expectProblem(answer, 503, "store-unavailable");
        expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
        expect(runs()).toBe(0);
        await until(() => app.reported.length > 0);
        expect(app.reported[0]).toMatchObject({ code: "STORE_FAILED" });
      }),
  },
  {
    title: "with onStoreError: bypass a request runs without protection where the store is down",
    prove: async (lab) =>
      await withBrokenStore(lab, async (engine, fail) => {
        const { handler, runs } = counting();
        const app = await lab.serve({ handler, options: { onStoreError: "bypass" } }, engine);
        fail();
        expect((await send(app.origin, { key: "k" })).status).toBe(201);
        expect(runs()).toBe(1);
        await until(() => app.reported.length > 0);
      }),
  },
  {
    title: "a response is sent where it cannot be recorded, and the key is not given back",
    prove: async (lab) =>
      await withBrokenStore(lab, async (engine, fail) => {
        const { handler, runs } = counting((exchange) => {
          fail();
          exchange.status(201);
          return exchange.send({ real: true });
        });
        const app = await lab.serve({ handler }, engine);
        expect(await send(app.origin, { key: "k" })).toMatchObject({
          status: 201,
          json: { real: true },
        });
        await until(() => app.reported.length > 0);
        const after = await lab.serve({ handler });
        const again = await send(after.origin, { key: "k" });
        expect(again.status).toBe(409);
        expect(runs()).toBe(1);
      }),
  },
];
