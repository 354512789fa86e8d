import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import type { Exchange, Row } from "../lab.ts";
import { expectProblem, expectReplay, row, until } from "./row.ts";

/** A handler that answers a status, with a body where it may have one. */
function answering(status: number) {
  return (exchange: Exchange, run: number) => {
    exchange.status(status);
    return exchange.send({ run });
  };
}

const recorded = [
  200, 201, 202, 203, 301, 302, 303, 307, 308, 400, 402, 404, 405, 406, 409, 410, 418, 422, 423,
  428, 451,
];
const released = [401, 403, 407, 412, 413, 414, 415, 421, 429, 431];
const stubbed = [206, 416];

const bodies: readonly (readonly [string, (exchange: Exchange) => unknown])[] = [
  ["an object", (exchange) => exchange.send({ "\u00e9": [1, { b: null }], __proto__x: 1 })],
  ["a list", (exchange) => exchange.send([1, "2"])],
  ["a text", (exchange) => exchange.send("pl\u00e4in")],
  ["an empty text", (exchange) => exchange.send("")],
  [
    "HTML",
    (exchange) => {
      exchange.header("Content-Type", "text/html; charset=utf-8");
      return exchange.send("<p>done</p>");
    },
  ],
  [
    "bytes",
    (exchange) => {
      exchange.header("Content-Type", "image/png");
      return exchange.send(Buffer.from([0, 255, 128, 10]));
    },
  ],
  ["bytes without a type", (exchange) => exchange.send(Buffer.from([0, 255, 128, 10]))],
  [
    "a stream",
    (exchange) => {
      exchange.status(201);
      exchange.header("Content-Type", "text/csv");
      return exchange.send(Readable.from([Buffer.from([0xc3]), Buffer.from([0xa9, 10])]));
    },
  ],
  ["a web stream", (exchange) => exchange.send(new Blob(["streamed"]).stream())],
  [
    "a web response",
    (exchange) =>
      exchange.send(
        new Response('{"web":true}', {
          status: 201,
          headers: { "content-type": "application/json", "x-own": "1" },
        }),
      ),
  ],
  [
    "a problem of the handler's own",
    (exchange) => {
      exchange.status(422);
      exchange.header("Content-Type", "application/problem+json");
      return exchange.send(JSON.stringify({ type: "about:blank", title: "No stock" }));
    },
  ],
];

export const responseRows: readonly Row[] = [
  ...recorded.map((status) =>
    row(`${status} is recorded`, { answer: answering(status) }, async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(status);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    }),
  ),
  ...released.map((status) =>
    row(`${status} gives the key back`, { answer: answering(status) }, async ({ post, runs }) => {
      expect((await post({ key: "k" })).status).toBe(status);
      const second = await post({ key: "k" });
      expect(second).toMatchObject({ status, isReplayed: false });
      expect(runs()).toBe(2);
    }),
  ),
  ...stubbed.map((status) =>
    row(
      `${status} is done, and its response is not kept`,
      {
        answer: (exchange) => {
          exchange.status(status);
          exchange.header("Location", "/orders/7");
          return exchange.send("part");
        },
      },
      async ({ post, runs }) => {
        expect((await post({ key: "secret-key" })).status).toBe(status);
        const second = await post({ key: "secret-key" });
        expectProblem(second, 409, "response-not-stored");
        expect(second.json).toMatchObject({ originalStatus: status, location: "/orders/7" });
        expect(second.headers.location).toBe("/orders/7");
        expect(runs()).toBe(1);
      },
    ),
  ),
  row(
    "304 is done, and its response is not kept",
    {
      answer: (exchange) => {
        exchange.status(304);
        return exchange.send(null);
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).status).toBe(304);
      const second = await post({ key: "k" });
      expectProblem(second, 409, "response-not-stored");
      expect(second.json).toMatchObject({ originalStatus: 304 });
      expect(runs()).toBe(1);
    },
  ),
  ...bodies.map(([what, answer]) =>
    row(`a body is kept: ${what}`, { answer }, async ({ post, runs }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      expect(second.headers["content-length"]).toBe(String(first.bytes.length));
      expect(runs()).toBe(1);
    }),
  ),
  row(
    "204 is replayed without a body",
    {
      answer: (exchange) => {
        exchange.status(204);
        return exchange.send(null);
      },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      expect(second).toMatchObject({ status: 204, text: "" });
      expect(second.headers["content-type"]).toBeUndefined();
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a response without a body is replayed as it was",
    {
      answer: (exchange) => {
        exchange.status(201);
        return exchange.send();
      },
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(201);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a redirect is replayed",
    { answer: (exchange) => exchange.redirect("/orders/7") },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(302);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a body of more than maxBody is sent whole, and not kept",
    {
      options: { maxBody: 1_000 },
      answer: (exchange) => {
        exchange.status(201);
        return exchange.send("x".repeat(1_001));
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).text).toHaveLength(1_001);
      const second = await post({ key: "k" });
      expectProblem(second, 409, "response-not-stored");
      expect(second.json).toMatchObject({ originalStatus: 201 });
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a body of just maxBody is kept",
    {
      options: { maxBody: 1_000 },
      answer: (exchange) => exchange.send("x".repeat(1_000)),
    },
    async ({ post }) => {
      expectReplay(await post({ key: "k" }), await post({ key: "k" }));
    },
  ),
  row(
    "a stream of more than maxBody is sent whole, and not kept",
    {
      options: { maxBody: 1_000 },
      answer: (exchange) => exchange.send(Readable.from(Array(40).fill(Buffer.alloc(100, 65)))),
    },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first.text).toBe("A".repeat(4_000));
      expectProblem(await post({ key: "k" }), 409, "response-not-stored");
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a megabyte that JSON has to escape is kept",
    {
      answer: (exchange) => exchange.send(String.fromCharCode(1).repeat(1_000_000)),
    },
    async ({ post }) => {
      expectReplay(await post({ key: "k" }), await post({ key: "k" }));
    },
  ),
  row(
    "server-sent events are sent as they come, and not kept",
    {
      answer: (exchange) => {
        exchange.header("Content-Type", "text/event-stream");
        return exchange.send(
          Readable.from(
            (async function* () {
              for (const event of [1, 2, 3]) {
                await pause(20);
                yield Buffer.from(`data: ${event}\n\n`);
              }
            })(),
            { objectMode: false },
          ),
        );
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).text).toContain("data: 3");
      expectProblem(await post({ key: "k" }), 409, "response-not-stored");
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a response that the handler writes by itself is not kept",
    {
      answer: async (exchange) => {
        const raw = exchange.hijack();
        raw.setHeader("Location", "/jobs/1");
        raw.writeHead(202, { "content-type": "text/plain" });
        await pause(20);
        raw.end("raw");
      },
    },
    async ({ post, runs }) => {
      expect(await post({ key: "k" })).toMatchObject({ status: 202, text: "raw" });
      await pause(50);
      const second = await post({ key: "k" });
      expectProblem(second, 409, "response-not-stored");
      expect(second.json).toMatchObject({ originalStatus: 202, location: "/jobs/1" });
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a handler that writes by itself and then fails ends its key",
    {
      answer: (exchange) => {
        exchange.hijack().end("raw");
        throw new Error("late");
      },
    },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).text).toBe("raw");
      await until(async () => {
        const answer = await post({ key: "k" });
        return answer.isReplayed || !answer.text.includes("in-progress");
      });
      expect(runs()).toBe(1);
    },
  ),
];
