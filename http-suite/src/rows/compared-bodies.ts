import type { HttpOptions } from "@idemkit/http";
import { expect } from "vitest";
import type { Sent } from "../client.ts";
import type { Row } from "../lab.ts";
import { expectProblem, expectReplay, row } from "./row.ts";

type Fingerprint = NonNullable<HttpOptions<never>["fingerprint"]>;

const json = (body: string): Sent => ({ body, headers: { "content-type": "application/json" } });
const form = (body: string): Sent => ({
  body,
  headers: { "content-type": "application/x-www-form-urlencoded" },
});

const csv = (body: string): Sent => ({ body, headers: { "content-type": "text/csv" } });

/** Koa keeps its request, and with it the parsed body, in a member of its context. */
const amountOf = (request: { readonly body?: unknown; readonly request?: { body?: unknown } }) =>
  ((request.request ?? request).body as { readonly amount: number }).amount;

const sent = { exclude: ["/sentAt", "/meta/attempts", "/items/0/seen", "/a~1b"] };

const same: readonly (readonly [string, Fingerprint, Sent, Sent])[] = [
  [
    "members that are excluded",
    sent,
    json('{"sentAt":1,"id":7,"meta":{"attempts":1,"by":"x"}}'),
    json('{ "meta": {"by":"x","attempts":[2]}, "id":7 }'),
  ],
  ["an excluded name with escapes", sent, json('{"sent\\u0041t":1}'), json('{"sentAt":2}')],
  ["an excluded name with a slash", sent, json('{"a/b":1}'), json('{"a/b":2}')],
  [
    "a member of a list's element",
    sent,
    json('{"items":[{"seen":1},2]}'),
    json('{"items":[{"seen":2},2]}'),
  ],
  ["another body that is not compared", false, json('{"id":1}'), json('{"id":2}')],
  ["another media type with false", false, json('{"id":1}'), form("id=1")],
  [
    "another body with the same value of a function",
    amountOf,
    json('{"amount":5}'),
    json('{"amount":5,"n":1}'),
  ],
];

const other: readonly (readonly [string, Fingerprint, Sent, Sent])[] = [
  ["a member that is not excluded", sent, json('{"sentAt":1,"id":7}'), json('{"sentAt":1,"id":8}')],
  [
    "a number in another form beside an excluded member",
    sent,
    json('{"sentAt":1,"n":1.0}'),
    json('{"sentAt":1,"n":1}'),
  ],
  [
    "a member of the excluded name elsewhere",
    sent,
    json('{"meta":{"sentAt":1}}'),
    json('{"meta":{"sentAt":2}}'),
  ],
  ["another element of a list", sent, json('{"items":[1,{"seen":1}]}'), json('{"items":[1,{}]}')],
  ["a body that is not JSON", sent, form("sentAt=1"), form("sentAt=2")],
  ["another media type", sent, form("sentAt=1"), csv("sentAt=1")],
  [
    "another query, with false",
    false,
    { ...json("{}"), path: "/o?a=1" },
    { ...json("{}"), path: "/o?a=2" },
  ],
  ["another path, with false", false, { ...json("{}"), path: "/o" }, { ...json("{}"), path: "/p" }],
  [
    "another method, with false",
    false,
    { ...json("{}"), method: "POST" },
    { ...json("{}"), method: "PATCH" },
  ],
  ["another value", amountOf, json('{"amount":5}'), json('{"amount":6}')],
];

export const comparedBodyRows: readonly Row[] = [
  ...same.map(([difference, fingerprint, one, another]) =>
    row(
      `the option fingerprint takes it for the same request: ${difference}`,
      { options: { fingerprint } },
      async ({ post, runs }) => {
        const key = { "idempotency-key": "k" };
        const first = await post({ ...one, headers: { ...one.headers, ...key } });
        expectReplay(first, await post({ ...another, headers: { ...another.headers, ...key } }));
        expect(runs()).toBe(1);
      },
    ),
  ),
  ...other.map(([difference, fingerprint, one, another]) =>
    row(
      `the option fingerprint takes it for another request: ${difference}`,
      { options: { fingerprint } },
      async ({ post, runs }) => {
        const key = { "idempotency-key": "secret-key" };
        const first = await post({ ...one, headers: { ...one.headers, ...key } });
        expect(first.status).toBe(201);
        const second = await post({ ...another, headers: { ...another.headers, ...key } });
        expectProblem(second, 422, "key-reused");
        expect(runs()).toBe(1);
      },
    ),
  ),
  row(
    "a function that returns no fingerprint lets nothing run",
    { options: { fingerprint: (() => undefined) as never } },
    async ({ post, runs, reported }) => {
      expect((await post({ key: "k" })).status).toBe(500);
      expect(runs()).toBe(0);
      expect(String(reported[0])).toContain("fingerprint: expected a value, got undefined");
    },
  ),
  row(
    "multipart is let through if the body is not compared",
    { options: { fingerprint: false } },
    async ({ post, runs }) => {
      const headers = { "content-type": "multipart/form-data; boundary=b" };
      const first = await post({ key: "k", body: "--b--", headers });
      expect(first.status).toBe(201);
      expectReplay(first, await post({ key: "k", body: "--c--", headers }));
      expect(runs()).toBe(1);
    },
  ),
];
