import { expect } from "vitest";
import type { Row } from "../lab.ts";
import { expectReplay, row } from "./row.ts";

const KEPT = {
  "X-Own": "1",
  Location: "/orders/1",
  ETag: '"v1"',
  "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT",
  "Content-Language": "en",
  "Content-Disposition": 'attachment; filename="a.json"',
  "Cache-Control": "private, max-age=60",
};

const NOT_KEPT = {
  "Retry-After": "3",
  "WWW-Authenticate": "Basic",
  Vary: "Accept",
  "Server-Timing": "db;dur=1",
  "X-Correlation-Id": "c-1",
  Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "RateLimit-Remaining": "9",
  "X-RateLimit-Remaining": "9",
  "Access-Control-Allow-Origin": "https://a.example",
  "Strict-Transport-Security": "max-age=1",
  "Content-Security-Policy": "default-src 'none'",
};

export const headerRows: readonly Row[] = [
  row(
    "headers that the handler has set are replayed",
    {
      answer: (exchange) => {
        for (const [name, value] of Object.entries(KEPT)) exchange.header(name, value);
        exchange.header("Link", ['</a>; rel="next"', '</b>; rel="prev"']);
        return exchange.send({});
      },
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      for (const [name, value] of Object.entries(KEPT)) {
        expect([name, second.headers[name.toLowerCase()]]).toEqual([name, value]);
      }
      expect(second.headers.link).toBe('</a>; rel="next", </b>; rel="prev"');
    },
  ),
  row(
    "headers of one answer, one caller or one connection are not replayed",
    {
      answer: (exchange) => {
        for (const [name, value] of Object.entries(NOT_KEPT)) exchange.header(name, value);
        return exchange.send({});
      },
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      for (const [name, value] of Object.entries(NOT_KEPT)) {
        expect([name, first.headers[name.toLowerCase()]]).toEqual([name, value]);
        expect([name, second.headers[name.toLowerCase()]]).toEqual([name, undefined]);
      }
    },
  ),
  row(
    "what Connection names is not replayed",
    {
      answer: (exchange) => {
        exchange.header("Connection", "close, X-Hop");
        exchange.header("X-Hop", "1");
        return exchange.send({});
      },
    },
    async ({ post }) => {
      await post({ key: "k" });
      expect((await post({ key: "k" })).headers["x-hop"]).toBeUndefined();
    },
  ),
  row("headers from outside of the handler are those of each request", {}, async ({ post }) => {
    const first = await post({ key: "k" });
    const second = await post({ key: "k" });
    expect(second.isReplayed).toBe(true);
    for (const name of ["x-request-id", "x-outside"]) {
      expect([first.headers[name], second.headers[name]]).toEqual([
        expect.any(String),
        expect.any(String),
      ]);
      expect(second.headers[name]).not.toBe(first.headers[name]);
    }
  }),
  row(
    "a cookie stays with who got it first",
    {
      answer: (exchange) => {
        exchange.cookie("session", "ada");
        return exchange.send({});
      },
    },
    async ({ post }) => {
      expect((await post({ key: "k" })).headers["set-cookie"]).toHaveLength(1);
      const second = await post({ key: "k" });
      expect(second.isReplayed).toBe(true);
      expect(second.headers["set-cookie"]).toBeUndefined();
    },
  ),
  row(
    "a cookie that the handler sets as a header is not replayed",
    {
      answer: (exchange) => {
        exchange.header("Set-Cookie", "session=ada");
        return exchange.send({});
      },
    },
    async ({ post }) => {
      expect((await post({ key: "k" })).headers["set-cookie"]).toEqual(["session=ada"]);
      const second = await post({ key: "k" });
      expect(second.isReplayed).toBe(true);
      expect(second.headers["set-cookie"]).toBeUndefined();
    },
  ),
  row(
    "cookies are replayed where that was asked for",
    {
      options: { cookies: true },
      answer: (exchange) => {
        exchange.header("Set-Cookie", ["a=1", "b=2"]);
        return exchange.send({});
      },
    },
    async ({ post }) => {
      await post({ key: "k" });
      expect((await post({ key: "k" })).headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    },
  ),
  row(
    "allow and deny change what is replayed",
    {
      options: { allow: ["Retry-After"], deny: ["X-Own"] },
      answer: (exchange) => {
        exchange.header("Retry-After", "3");
        exchange.header("X-Own", "1");
        return exchange.send({});
      },
    },
    async ({ post }) => {
      await post({ key: "k" });
      const { headers } = await post({ key: "k" });
      expect(headers["retry-after"]).toBe("3");
      expect(headers["x-own"]).toBeUndefined();
    },
  ),
  row(
    "a replay is marked as it was asked for",
    { options: { replayHeader: "X-Again" } },
    async ({ post }) => {
      expect((await post({ key: "k" })).headers["x-again"]).toBeUndefined();
      const second = await post({ key: "k" });
      expect(second.headers["x-again"]).toBe("true");
      expect(second.isReplayed).toBe(false);
    },
  ),
];
