import { expect } from "vitest";
import type { Sent } from "../client.ts";
import type { Row } from "../lab.ts";
import { expectProblem, expectReplay, row } from "./row.ts";

const json = (body: string): Sent => ({ body, headers: { "content-type": "application/json" } });

const same: readonly (readonly [string, Sent, Sent])[] = [
  ["members in another order", json('{"a":1,"b":[2]}'), json('{ "b" : [ 2 ],\n"a" : 1 }')],
  ["escapes", json('{"a":"\\u00e9\\/"}'), json('{"a":"\u00e9/"}')],
  [
    "parameters of the media type",
    { headers: { "content-type": "application/json" } },
    { headers: { "content-type": "Application/JSON; charset=utf-8" } },
  ],
  ["the query in another order", { path: "/orders?a=1&b=2" }, { path: "/orders?b=2&a=1" }],
];

const other: readonly (readonly [string, Sent, Sent])[] = [
  ["another value", { body: { a: 1 } }, { body: { a: 2 } }],
  ["another path", { path: "/orders" }, { path: "/refunds" }],
  ["another query", { path: "/orders?a=1" }, { path: "/orders?a=2" }],
  [
    "repeated members of the query in another order",
    { path: "/o?a=1&a=2" },
    { path: "/o?a=2&a=1" },
  ],
  [
    "members of one name, written in two ways, in another order",
    { path: "/o?a=1&%61=2" },
    { path: "/o?%61=2&a=1" },
  ],
  ["another method", { method: "POST" }, { method: "PATCH" }],
  [
    "numbers that parsers take for equal",
    json('{"n":9007199254740993}'),
    json('{"n":9007199254740992}'),
  ],
  ["a number in another form", json('{"n":1.0}'), json('{"n":1}')],
  ["a list in another order", json("[1,2]"), json("[2,1]")],
  ["text and number", json('{"n":"1"}'), json('{"n":1}')],
  [
    "another media type",
    { body: "a=1", headers: { "content-type": "application/x-www-form-urlencoded" } },
    { body: "a=1", headers: { "content-type": "text/csv" } },
  ],
  [
    "another form",
    { body: "a=1", headers: { "content-type": "application/x-www-form-urlencoded" } },
    { body: "a=2", headers: { "content-type": "application/x-www-form-urlencoded" } },
  ],
  [
    "bytes that no parser reads",
    { body: Buffer.from([0xff, 1]), headers: { "content-type": "application/octet-stream" } },
    { body: Buffer.from([0xfe, 1]), headers: { "content-type": "application/octet-stream" } },
  ],
];

export const fingerprintRows: readonly Row[] = [
  ...same.map(([what, one, another]) =>
    row(`the same request: ${what}`, {}, async ({ post, runs }) => {
      expectReplay(await post({ key: "k", ...one }), await post({ key: "k", ...another }));
      expect(runs()).toBe(1);
    }),
  ),
  ...other.map(([what, one, another]) =>
    row(`another request under the same key is refused: ${what}`, {}, async ({ post, runs }) => {
      const key = { "idempotency-key": "secret-key" };
      const first = await post({ ...one, headers: { ...one.headers, ...key } });
      expect(first.status).toBe(201);
      const second = await post({ ...another, headers: { ...another.headers, ...key } });
      expectProblem(second, 422, "key-reused");
      expect(second.json).toMatchObject({ title: "Idempotency-Key is already used" });
      expect(runs()).toBe(1);
    }),
  ),
  row(
    "a body that no parser reads is there for the handler",
    {
      answer: async (exchange) => exchange.send((await exchange.unparsed()).toString("hex")),
    },
    async ({ post, runs }) => {
      const bytes = Buffer.from("00ff10", "hex");
      const sent = {
        key: "k",
        body: bytes,
        headers: { "content-type": "application/octet-stream" },
      };
      const first = await post(sent);
      expect(first.text).toBe("00ff10");
      expectReplay(first, await post(sent));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a large body that no parser reads is there for the handler",
    {
      answer: async (exchange) => exchange.send({ length: (await exchange.unparsed()).length }),
    },
    async ({ post }) => {
      const sent = {
        key: "k",
        body: Buffer.alloc(700_000, 7),
        headers: { "content-type": "application/octet-stream" },
      };
      expect((await post(sent)).json).toEqual({ length: 700_000 });
      expect((await post(sent)).isReplayed).toBe(true);
    },
  ),
  row("a body that no parser reads is read up to a limit", {}, async ({ post, runs }) => {
    const body = Buffer.alloc(1_200_000);
    const headers = { "content-type": "application/octet-stream" };
    expectProblem(await post({ key: "k", body, headers }), 413, "content-too-large");
    expect(runs()).toBe(0);
  }),
  row("multipart is refused, with advice", {}, async ({ post, runs }) => {
    const headers = { "content-type": "multipart/form-data; boundary=b" };
    const answer = await post({ key: "k", body: "--b--", headers });
    expectProblem(answer, 415, "content-type-unsupported");
    expect(runs()).toBe(0);
  }),
  row("a request without a body is compared as well", {}, async ({ post, runs }) => {
    const first = await post({ key: "k", body: null });
    expectReplay(first, await post({ key: "k", body: null }));
    expectProblem(await post({ key: "k" }), 422, "key-reused");
    expect(runs()).toBe(1);
  }),
];
