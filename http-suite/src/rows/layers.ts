import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Row } from "../lab.ts";
import { counting, expectProblem, expectReplay, gate, row, until } from "./row.ts";

const GZIP = { "accept-encoding": "gzip" };

/** The names of the headers in a record. */
function namesIn(value: unknown): readonly string[] {
  const { headers } = value as { readonly headers: readonly (readonly [string, unknown])[] };
  return headers.map(([name]) => name);
}

/** A row whose handler sets a response that Node would refuse to send. */
function refused(what: string, set: (exchange: Exchange) => void): Row {
  return row(
    `a response that Node refuses is not recorded as sent: ${what}`,
    {
      answer: (exchange) => {
        set(exchange);
        return exchange.send({ done: true });
      },
    },
    async ({ post, runs, lab }) => {
      const first = await post({ key: "k" });
      expect(first.status).toBe(500);
      expectReplay(first, await post({ key: "k" }));
      expect(await lab.engine.inspect("ada", "k")).toMatchObject({ state: "completed" });
      expect(runs()).toBe(1);
    },
  );
}

export const layerRows: readonly Row[] = [
  {
    title: "a serializer that a layer has chosen does not touch problems",
    prove: async ({ serve }) => {
      const { opened, open } = gate();
      const { handler, runs } = counting(async (exchange, run) => {
        if (run > 1) await opened;
        return exchange.send({ run });
      });
      const { origin } = await serve({ handler, around: ["serializer"] });
      await send(origin, { key: "k" });
      expectProblem(await send(origin), 400, "key-missing");
      expectProblem(await send(origin, { key: "k", body: { other: 1 } }), 422, "key-reused");
      const running = send(origin, { key: "running" });
      await until(() => runs() === 2);
      expectProblem(await send(origin, { key: "running" }), 409, "in-progress");
      open();
      await running;
    },
  },
  row(
    "a serializer that a layer has chosen runs for a replay as for the first response",
    { around: ["serializer"], answer: (exchange) => exchange.send({ order: 1 }) },
    async ({ post, runs }) => {
      const first = await post({ key: "k" });
      expect(first).toMatchObject({ status: 200, text: 'yaml:{"order":1}' });
      expect(first.headers["content-type"]).toMatch(/^application\/yaml/);
      expectReplay(first, await post({ key: "k" }));
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the handler's own type is that of a replay, with a serializer that a layer has chosen",
    {
      around: ["serializer"],
      answer: (exchange) => {
        exchange.header("Content-Type", "text/csv");
        return exchange.send(Buffer.from("a,b\n"));
      },
    },
    async ({ post }) => {
      const first = await post({ key: "k" });
      expect(first).toMatchObject({ text: "a,b\n" });
      expect(first.headers["content-type"]).toBe("text/csv");
      expectReplay(first, await post({ key: "k" }));
    },
  ),
  row(
    "headers that a layer adds after the handler are not kept, and are new for each response",
    { around: ["served-at"] },
    async ({ post, lab }) => {
      const first = await post({ key: "k" });
      const second = await post({ key: "k" });
      expectReplay(first, second);
      for (const { headers } of [first, second]) {
        expect(headers["x-served-at"]).toEqual(expect.any(String));
      }
      expect(second.headers["x-served-at"]).not.toBe(first.headers["x-served-at"]);
      const record = await lab.engine.inspect("ada", "k");
      const names = namesIn((record as { readonly value?: unknown }).value);
      expect(names).toContain("location");
      expect(names).not.toContain("x-served-at");
    },
  ),
  row(
    "the encoding that a layer chooses is not kept, and is chosen for each response",
    { around: ["compress"], answer: (exchange) => exchange.send({ text: "x".repeat(2_000) }) },
    async ({ post, lab, runs }) => {
      const first = await post({ key: "k", headers: GZIP });
      const plain = await post({ key: "k", headers: { "accept-encoding": "identity" } });
      const again = await post({ key: "k", headers: GZIP });
      expect(gunzipSync(first.bytes).toString()).toBe(plain.text);
      expect(gunzipSync(again.bytes).toString()).toBe(plain.text);
      const record = await lab.engine.inspect("ada", "k");
      const { value } = record as { readonly value?: unknown };
      expect(namesIn(value)).not.toContain("content-encoding");
      expect(JSON.stringify(value)).toContain("xxxx");
      expect(runs()).toBe(1);
    },
  ),
  refused("a line break in a header", (exchange) => exchange.header("X-Own", "a\r\nX-Other: b")),
  refused("a character above 255", (exchange) => exchange.header("X-Own", "\u20ac")),
  refused("a blank in a name", (exchange) => exchange.header("X Own", "1")),
  refused("a status of 0", (exchange) => exchange.status(0)),
];
