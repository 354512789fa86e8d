import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Row } from "../lab.ts";
import { counting, expectProblem, expectReplay, gate, row, until } from "./row.ts";

/** A row whose client leaves while the handler runs, and comes again. */
function leaving(
  title: string,
  answer: (exchange: Exchange) => unknown,
  expected: { readonly status: number; readonly text: string },
): Row {
  return {
    title,
    prove: async ({ serve }) => {
      let isDone = false;
      const { handler, runs } = counting(async (exchange) => {
        await pause(150);
        isDone = true;
        return await answer(exchange);
      });
      const { origin } = await serve({ handler });
      const leave = new AbortController();
      const gone = send(origin, { key: "k", signal: leave.signal }).catch(() => "gone");
      await until(() => runs() === 1);
      leave.abort();
      expect(await gone).toBe("gone");
      await until(() => isDone);
      await until(async () => (await send(origin, { key: "k" })).status !== 409);
      const again = await send(origin, { key: "k" });
      expect(again).toMatchObject({ ...expected, isReplayed: true });
      expect(runs()).toBe(1);
    },
  };
}

/** A stream that gives its parts one by one, with a pause before each. */
function slowly(parts: readonly string[], pauseMs: number): Readable {
  async function* each() {
    for (const part of parts) {
      await pause(pauseMs);
      yield Buffer.from(part);
    }
  }
  return Readable.from(each(), { objectMode: false });
}

interface LateAnswer {
  readonly status: number;
  readonly text: string;
  readonly location?: string;
}

/** A row whose handler answers after somebody else has answered 503 for it. */
function late(what: string, answer: (exchange: Exchange) => unknown, expected: LateAnswer): Row {
  return {
    title: `a response that comes too late is the outcome: ${what}`,
    prove: async ({ serve }) => {
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler, timeoutMs: 100, options: { on5xx: "release" } });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => (await send(origin, { key: "k" })).status !== 409);
      const { location, ...response } = expected;
      const again = await send(origin, { key: "k" });
      expect(again).toMatchObject({ ...response, isReplayed: true });
      expect(again.headers.location).toBe(location);
      expect(runs()).toBe(1);
    },
  };
}

const lateAnswers: readonly (readonly [string, (exchange: Exchange) => unknown, LateAnswer])[] = [
  [
    "a body alone",
    async (exchange) => {
      await pause(400);
      return exchange.send({ done: true });
    },
    { status: 200, text: '{"done":true}' },
  ],
  [
    "a status from before, and headers",
    async (exchange) => {
      exchange.status(201);
      await pause(400);
      exchange.header("Location", "/orders/1");
      return exchange.send("done");
    },
    { status: 201, text: "done", location: "/orders/1" },
  ],
];

export const clientRows: readonly Row[] = [
  leaving(
    "the outcome is kept for a client that left",
    (exchange) => {
      exchange.status(201);
      return exchange.send({ done: true });
    },
    { status: 201, text: '{"done":true}' },
  ),
  leaving(
    "an outcome without a body is kept for a client that left",
    (exchange) => {
      exchange.status(204);
      return exchange.send();
    },
    { status: 204, text: "" },
  ),
  leaving(
    "a stream is kept for a client that left",
    (exchange) =>
      exchange.send(
        Readable.from(
          (async function* () {
            for (const part of ["a", "b", "c"]) {
              await pause(40);
              yield Buffer.from(part);
            }
          })(),
          { objectMode: false },
        ),
      ),
    { status: 200, text: "abc" },
  ),
  {
    title: "a stream is kept for a client that leaves while it is read",
    prove: async ({ serve }) => {
      let isStreaming = false;
      const { handler, runs } = counting((exchange) =>
        exchange.send(
          Readable.from(
            (async function* () {
              for (let part = 0; part < 10; part += 1) {
                isStreaming = true;
                yield Buffer.from(String(part));
                await pause(40);
              }
            })(),
            { objectMode: false },
          ),
        ),
      );
      const { origin } = await serve({ handler });
      const leave = new AbortController();
      void send(origin, { key: "k", signal: leave.signal }).catch(() => undefined);
      await until(() => isStreaming);
      leave.abort();
      await until(async () => (await send(origin, { key: "k" })).status !== 409);
      expect(await send(origin, { key: "k" })).toMatchObject({ status: 200, text: "0123456789" });
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a handler whose time is over keeps its key until it is done, and does not run again",
    prove: async ({ serve }) => {
      const { opened, open } = gate();
      const { handler, runs } = counting(async (exchange) => {
        await opened;
        exchange.status(201);
        return exchange.send({ done: true });
      });
      const options = { on5xx: "release" } as const;
      const { origin } = await serve({ handler, timeoutMs: 100, options });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      expectProblem(await send(origin, { key: "k" }), 409, "in-progress");
      // Longer than the lease, which is renewed.
      await pause(1_000);
      expectProblem(await send(origin, { key: "k" }), 409, "in-progress");
      open();
      await until(async () => (await send(origin, { key: "k" })).status === 201);
      expect(await send(origin, { key: "k" })).toMatchObject({
        json: { done: true },
        isReplayed: true,
      });
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a handler that fails after its time was over is treated by how it failed",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange, run) => {
        if (run > 1) return exchange.send({ run });
        await pause(300);
        return exchange.fail(500, "late");
      });
      const options = { on5xx: "release" } as const;
      const { origin } = await serve({ handler, timeoutMs: 100, options });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => (await send(origin, { key: "k" })).status !== 409);
      expect(runs()).toBe(2);
    },
  },
  ...lateAnswers.map(([what, answer, expected]) => late(what, answer, expected)),
  {
    title: "a model whose destroy deletes a row is left alone if a timeout has responded for it",
    prove: async ({ serve }) => {
      let deleted = 0;
      class Order {
        readonly id = 1;
        destroy() {
          deleted += 1;
        }
      }
      const { handler, runs } = counting(async (exchange) => {
        await pause(200);
        return exchange.send(new Order());
      });
      const { origin } = await serve({ handler, timeoutMs: 50 });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => (await send(origin, { key: "k" })).status === 200);
      const again = await send(origin, { key: "k" });
      expect(again).toMatchObject({ json: { id: 1 }, isReplayed: true });
      expect([deleted, runs()]).toEqual([0, 1]);
    },
  },
  {
    title: "a stream that outlasts its time is the outcome with its own status and type",
    prove: async ({ serve }) => {
      const { handler, runs } = counting((exchange) => {
        exchange.status(201);
        exchange.header("Content-Type", "text/csv");
        return exchange.send(slowly(["receipt ", "done"], 250));
      });
      const { origin } = await serve({ handler, timeoutMs: 100, options: { on5xx: "release" } });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => (await send(origin, { key: "k" })).status !== 409);
      const again = await send(origin, { key: "k" });
      expect(again).toMatchObject({ status: 201, text: "receipt done", isReplayed: true });
      expect(again.headers["content-type"]).toBe("text/csv");
      expect(runs()).toBe(1);
    },
  },
  row(
    "what the handler knows of its key",
    {
      answer: (exchange) => {
        const { key, scope, attempt, replayed, token, signal } = exchange.idempotency ?? {};
        const aborted = signal?.aborted;
        const derived = exchange.idempotency?.deriveKey("charge").length;
        return exchange.send({
          key,
          scope,
          attempt,
          replayed,
          hasToken: Number(token) > 0,
          aborted,
          derived,
        });
      },
    },
    async ({ post }) => {
      expect((await post({ key: "k" })).json).toEqual({
        ...{ key: "k", scope: "ada", attempt: 1, replayed: false, hasToken: true },
        ...{ aborted: false, derived: 64 },
      });
    },
  ),
  row(
    "the handler may give the key back",
    {
      answer: (exchange, run) => {
        if (run === 1) exchange.idempotency?.release();
        return exchange.send({ run });
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).json).toEqual({ run: 1 });
      expectReplay(await post({ key: "k" }), await post({ key: "k" }));
      expect(runs()).toBe(2);
    },
  ),
  row(
    "the handler may keep a response that would not be",
    {
      answer: (exchange) => {
        exchange.idempotency?.record();
        exchange.status(429);
        return exchange.send({ never: "again" });
      },
    },
    async ({ post, runs }) => {
      expectReplay(await post({ key: "k" }), await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the handler may leave its outcome open",
    {
      answer: (exchange) => {
        exchange.idempotency?.hold();
        exchange.status(202);
        return exchange.send({ asked: true });
      },
    },
    async ({ post, runs, lab }) => {
      expect((await post({ key: "secret-key" })).status).toBe(202);
      expectProblem(await post({ key: "secret-key" }), 409, "outcome-unknown");
      await lab.engine.settle("ada", "secret-key", {
        as: "released",
        by: "ops",
        why: "looked it up",
      });
      expect((await post({ key: "secret-key" })).isReplayed).toBe(false);
      expect(runs()).toBe(2);
    },
  ),
];
