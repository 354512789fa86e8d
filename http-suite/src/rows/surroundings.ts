import { gunzipSync } from "node:zlib";
import { encodeResponse } from "@idemkit/http";
import { expect } from "vitest";
import type { Row } from "../lab.ts";
import { expectProblem, expectReplay, row } from "./row.ts";

export const surroundingRows: readonly Row[] = [
  row("compression is that of each request", { around: ["compress"] }, async ({ post, runs }) => {
    const gzip = { "accept-encoding": "gzip" };
    const first = await post({ key: "k", headers: gzip });
    expect(first.headers["content-encoding"]).toBe("gzip");
    const plain = await post({ key: "k", headers: { "accept-encoding": "identity" } });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.json).toEqual({ order: 1 });
    const again = await post({ key: "k", headers: gzip });
    expect(again.isReplayed).toBe(true);
    expect(JSON.parse(gunzipSync(again.bytes).toString())).toEqual({ order: 1 });
    expect(runs()).toBe(1);
  }),
  row(
    "an ETag from around the handler is the same for a replay",
    { around: ["etag"] },
    async ({ post }) => {
      const first = await post({ key: "k" });
      expect(first.headers.etag).toEqual(expect.any(String));
      expectReplay(first, await post({ key: "k" }));
    },
  ),
  row(
    "CORS is answered before the key is asked for, and for each request",
    { around: ["cors"] },
    async ({ post, runs }) => {
      const origin = { origin: "https://a.example" };
      const preflight = await post({
        method: "OPTIONS",
        headers: {
          ...origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "idempotency-key",
        },
      });
      expect(preflight.status).toBe(204);
      expect(preflight.headers["access-control-allow-headers"]).toMatch(/idempotency-key/i);
      for (const isReplayed of [false, true]) {
        const answer = await post({ key: "k", headers: origin });
        expect(answer.isReplayed).toBe(isReplayed);
        expect(answer.headers["access-control-allow-origin"]).toEqual(expect.any(String));
        expect(answer.headers["access-control-expose-headers"]).toMatch(/idempotency-replayed/i);
      }
      const missing = await post({ headers: origin });
      expectProblem(missing, 400, "key-missing");
      expect(missing.headers["access-control-allow-origin"]).toEqual(expect.any(String));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a caller who is not authenticated learns nothing, and claims nothing",
    { authenticates: true },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).status).toBe(401);
      expect((await post({})).status).toBe(401);
      const authorization = "Bearer a";
      expect((await post({ key: "k", headers: { authorization } })).status).toBe(201);
      expect((await post({ key: "k" })).status).toBe(401);
      const again = await post({ key: "k", headers: { authorization } });
      expect(again.isReplayed).toBe(true);
      expect(runs()).toBe(1);
    },
  ),
  row(
    "a body that cannot be parsed is refused before the key is claimed",
    {},
    async ({ post, runs }) => {
      expect((await post({ key: "k", body: "{" })).status).toBe(400);
      expect((await post({ key: "k", body: '{"a":1}' })).status).toBe(201);
      expect(runs()).toBe(1);
    },
  ),
  row(
    "problems are thrown where that was asked for",
    {
      formatsErrors: true,
      options: { problems: "throw" },
    },
    async ({ post, runs }) => {
      const answer = await post({});
      expect(answer).toMatchObject({ status: 400, json: { code: "key-missing", status: 400 } });
      expect(answer.headers["cache-control"]).toBe("no-store");
      expect(runs()).toBe(0);
    },
  ),
  row(
    "problems name the documentation that they were given",
    {
      options: { docsUrl: "https://docs.example/keys" },
    },
    async ({ post }) => {
      const answer = await post({});
      expect(answer.json).toMatchObject({ type: "https://docs.example/keys#key-missing" });
      expect(answer.headers.link).toBe('<https://docs.example/keys>; rel="describedby"');
    },
  ),
  row(
    "the type of a problem has one fragment, where the documentation has one too",
    {
      options: { docsUrl: "https://docs.example/api?v=2#keys" },
    },
    async ({ post }) => {
      const answer = await post({});
      expect(answer.json).toMatchObject({ type: "https://docs.example/api?v=2#key-missing" });
      expect(answer.headers.link).toBe('<https://docs.example/api?v=2#keys>; rel="describedby"');
    },
  ),
  row(
    "the stripe preset answers as Stripe does",
    { options: { preset: "stripe" } },
    async ({ post, runs }) => {
      await post({ key: "k" });
      const again = await post({ key: "k" });
      expect(again.headers["idempotent-replayed"]).toBe("true");
      const other = await post({ key: "k", body: { other: 1 } });
      expect(other.status).toBe(400);
      expect(other.json).toMatchObject({ error: { type: "idempotency_error" } });
      expect(other.headers["stripe-should-retry"]).toBe("false");
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the stripe preset records every status",
    {
      options: { preset: "stripe" },
      answer: (exchange) => {
        exchange.status(429);
        return exchange.send({});
      },
    },
    async ({ post, runs }) => {
      await post({ key: "k" });
      expect((await post({ key: "k" })).headers["idempotent-replayed"]).toBe("true");
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the stripe preset gives the key back after 5xx where it is told to",
    {
      options: { preset: "stripe", on5xx: "release" },
      answer: (exchange) => {
        exchange.status(503);
        return exchange.send({});
      },
    },
    async ({ post, runs }) => {
      await post({ key: "k" });
      expect((await post({ key: "k" })).headers["idempotent-replayed"]).toBeUndefined();
      expect(runs()).toBe(2);
    },
  ),
  row(
    "a response that an operator has settled is replayed",
    {
      answer: (exchange) => {
        exchange.idempotency?.hold();
        return exchange.send({});
      },
    },
    async ({ post, lab, runs }) => {
      await post({ key: "k" });
      const value = encodeResponse({
        status: 201,
        headers: [["content-type", "application/json; charset=utf-8"]],
        body: { kind: "json", value: { settled: true } },
      });
      await lab.engine.settle("ada", "k", { as: "succeeded", value, by: "ops", why: "charged" });
      const again = await post({ key: "k" });
      expect(again).toMatchObject({ status: 201, json: { settled: true }, isReplayed: true });
      expect(runs()).toBe(1);
    },
  ),
  row(
    "an outcome that is no response is told to be one without response",
    {
      answer: (exchange) => {
        exchange.idempotency?.hold();
        return exchange.send({});
      },
    },
    async ({ post, lab, runs }) => {
      await post({ key: "secret-key" });
      const decision = { as: "succeeded", value: { id: 7 }, by: "ops", why: "charged" } as const;
      await lab.engine.settle("ada", "secret-key", decision);
      expectProblem(await post({ key: "secret-key" }), 409, "response-not-stored");
      expect(runs()).toBe(1);
    },
  ),
];
