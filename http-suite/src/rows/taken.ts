import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Row } from "../lab.ts";
import { leaveEarly } from "../leaving.ts";
import { counting, expectProblem, expectReplay, gate, row, until } from "./row.ts";

const webhook = { preset: "webhook", key: () => "k", verify: () => true } as const;

/** Responses that a handler takes away from its framework, and others that never reach it whole. */
export const takenRows: readonly Row[] = [
  {
    title: "a response that the handler writes by itself is over when it ends it",
    prove: async ({ serve }) => {
      const { opened, open } = gate();
      const { handler, runs } = counting((exchange) => {
        const raw = exchange.hijack();
        raw.writeHead(201).write("first, ");
        void opened.then(() => {
          exchange.idempotency?.record({ status: 201, body: "named" });
          raw.end("rest");
        });
      });
      const { origin } = await serve({ handler });
      const first = send(origin, { key: "k" });
      await until(() => runs() === 1);
      await pause(30);
      expectProblem(await send(origin, { key: "k" }), 409, "in-progress");
      open();
      expect(await first).toMatchObject({ status: 201, text: "first, rest" });
      await until(async () => (await send(origin, { key: "k" })).isReplayed);
      expect((await send(origin, { key: "k" })).text).toBe("named");
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a timeout's 503 is not the status of a response that the handler writes later",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange) => {
        await pause(150);
        const raw = exchange.hijack();
        raw.statusCode = 201;
        raw.end("late");
      });
      const { origin } = await serve({ handler, timeoutMs: 50 });
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      const again = await send(origin, { key: "k" });
      expectProblem(again, 409, "response-not-stored");
      expect(again.json).toMatchObject({ originalStatus: 201 });
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a head that the handler writes after a timeout's 503 fails nothing",
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, guarantee: "at-least-once" });
      const { handler, runs } = counting(async (exchange) => {
        await pause(150);
        exchange.hijack().writeHead(201, { location: "/orders/1" }).end("late");
      });
      const { origin } = await serve({ handler, timeoutMs: 50 }, engine);
      expect((await send(origin, { key: "k" })).status).toBe(503);
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      const again = await send(origin, { key: "k" });
      expect(again.json).toMatchObject({ originalStatus: 201, location: "/orders/1" });
      expect(runs()).toBe(1);
      await engine.close();
    },
  },
  {
    title: "the status that a handler has written counts, and none that it sets after that",
    prove: async ({ serve }) => {
      const { handler, runs } = counting((exchange) => {
        const raw = exchange.hijack();
        raw.writeHead(200).write("part");
        raw.statusCode = 500;
        raw.end();
      });
      const { origin } = await serve({ handler, options: webhook });
      expect((await send(origin, { key: "k" })).status).toBe(200);
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      expect([(await send(origin, { key: "k" })).status, runs()]).toEqual([200, 1]);
    },
  },
  {
    title: "onError of the engine decides about a 5xx that the handler writes by itself",
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, onError: "hold" });
      const { handler, runs } = counting((exchange) => {
        exchange.hijack().writeHead(502).end("no");
      });
      const { origin } = await serve({ handler }, engine);
      expect((await send(origin, { key: "k" })).status).toBe(502);
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      expectProblem(await send(origin, { key: "k" }), 409, "outcome-unknown");
      expect(runs()).toBe(1);
      await engine.close();
    },
  },
  {
    title: "a handler that pipes to a client that has left learns of it, and its key is ended",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange) => {
        const raw = exchange.hijack();
        while (!raw.destroyed) await pause(5);
        await pipeline(Readable.from(["late"]), raw).catch(() => undefined);
      });
      const { origin } = await serve({ handler });
      await leaveEarly(origin, { key: "k" }, { afterMs: 30 });
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      expectProblem(await send(origin, { key: "k" }), 409, "response-not-stored");
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a client that leaves does not free the key of a handler that has taken the response",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange, run) => {
        if (run > 1) return exchange.send({ run });
        return await once(exchange.hijack(), "close");
      });
      const { origin } = await serve({ handler, options: webhook });
      await leaveEarly(origin, { key: "k" }, { afterMs: 50 });
      await until(async () => !(await send(origin, { key: "k" })).text.includes("in-progress"));
      const again = await send(origin, { key: "k" });
      expect([again.status, runs()]).toEqual([200, 1]);
    },
  },
  row(
    "a stream with a header for trailers is sent whole, and replayed",
    {
      answer: (exchange) => {
        exchange.header("Trailer", "X-Sum");
        return exchange.send(Readable.from(["a", "b"]));
      },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first).toMatchObject({ status: 200, text: "ab" });
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a stream that fails at once is an error of the handler, for the application's error handling",
    {
      formatsErrors: true,
      answer: (exchange) => {
        const stream = new Readable({ read: () => undefined });
        const sent = exchange.send(stream);
        stream.destroy(Object.assign(new Error("no file"), { status: 502, statusCode: 502 }));
        return sent;
      },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first).toMatchObject({ status: 502, json: { formatted: true, message: "no file" } });
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the headers that an error brings along are kept by the same rules as others",
    {
      options: { deny: ["x-secret"] },
      answer: (exchange) => {
        const headers = { "Set-Cookie": "s=1", "X-Secret": "1", "X-Reason": "stock" };
        return exchange.fail(409, "sold out", { headers });
      },
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      expect(first.headers).toMatchObject({ "x-secret": "1", "x-reason": "stock" });
      const again = await post({ key: "k" });
      expectReplay(first, again);
      expect(again.headers["x-reason"]).toBe("stock");
      expect([again.headers["x-secret"], again.headers["set-cookie"]]).toEqual([
        undefined,
        undefined,
      ]);
    },
  ),
];
