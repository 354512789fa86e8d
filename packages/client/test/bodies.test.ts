import { describe, expect, test } from "vitest";
import { createClient } from "../src/index.ts";
import { rejection, reset, serve, status } from "./server.ts";

const now = { "Retry-After": "0" };
const threeTries = [reset, status(503, now), status(201)] as const;
const bytes = new Uint8Array([0, 1, 254, 255]);

function form(): FormData {
  const made = new FormData();
  made.append("sku", "teapot");
  made.append("photo", new Blob([bytes], { type: "image/png" }), "teapot.png");
  return made;
}

const URLENCODED = "application/x-www-form-urlencoded;charset=UTF-8";
const bodies: readonly (readonly [
  string,
  () => RequestInit["body"],
  Buffer,
  string | undefined,
])[] = [
  ["a string", () => "é", Buffer.from("é"), "text/plain;charset=UTF-8"],
  ["an empty string", () => "", Buffer.from(""), "text/plain;charset=UTF-8"],
  ["an ArrayBuffer", () => bytes.slice().buffer, Buffer.from(bytes), undefined],
  ["a view", () => new DataView(bytes.buffer, 1, 2), Buffer.from(bytes.slice(1, 3)), undefined],
  ["a typed array", () => bytes.subarray(2), Buffer.from(bytes.slice(2)), undefined],
  ["a Blob", () => new Blob([bytes], { type: "a/b" }), Buffer.from(bytes), "a/b"],
  ["URLSearchParams", () => new URLSearchParams({ a: "b c" }), Buffer.from("a=b+c"), URLENCODED],
  ["nothing", () => undefined, Buffer.from(""), undefined],
  ["null", () => null, Buffer.from(""), undefined],
];

describe("the body is the same on every attempt:", () => {
  for (const [name, make, expected, type] of bodies) {
    test(name, async () => {
      const { url, seen } = await serve(...threeTries);
      await createClient().fetch(url, { method: "POST", body: make() as string });
      expect(seen.map(({ body }) => body)).toEqual([expected, expected, expected]);
      expect(seen.map(({ headers }) => headers["content-type"])).toEqual([type, type, type]);
    });

    test(`${name}, in a Request`, async () => {
      const { url, seen } = await serve(...threeTries);
      const request = new Request(url, { method: "POST", body: make() as string });
      await createClient().fetch(request);
      expect(seen.map(({ body }) => body)).toEqual([expected, expected, expected]);
      expect(seen.map(({ headers }) => headers["content-type"])).toEqual([type, type, type]);
    });
  }

  test("a form, with one boundary", async () => {
    const { url, seen } = await serve(...threeTries);
    const client = createClient();
    await client.fetch(url, { method: "POST", body: form() });
    const [first, second, third] = seen;
    expect(first?.headers["content-type"]).toMatch(/^multipart\/form-data; ?boundary=/);
    expect(first?.body.toString("latin1")).toContain('name="photo"; filename="teapot.png"');
    for (const each of [second, third]) {
      expect(each?.body).toEqual(first?.body);
      expect(each?.headers["content-type"]).toBe(first?.headers["content-type"]);
    }
    await client.fetch(new Request(url, { method: "POST", body: form() }));
    expect(seen[3]?.body.toString("latin1")).toContain('filename="teapot.png"');
  });

  test("none, in a Request with a method that takes none", async () => {
    const { url, seen } = await serve(status(200));
    const client = createClient({ methods: ["GET"] });
    expect((await client.fetch(new Request(url))).response.status).toBe(200);
    expect(seen.map(({ method, body }) => [method, body.length])).toEqual([["GET", 0]]);
  });

  test("a stream, in a Request", async () => {
    const { url, seen } = await serve(...threeTries);
    const body = new Blob(["a stream"]).stream();
    await createClient().fetch(new Request(url, { method: "POST", body, duplex: "half" }));
    expect(seen.map((each) => String(each.body))).toEqual(["a stream", "a stream", "a stream"]);
  });

  test("one beside a Request, which then remains unread", async () => {
    const { url, seen } = await serve(...threeTries);
    const request = new Request(url, { method: "POST", body: "mine" });
    await createClient().fetch(request, { body: "other" });
    expect(seen.map((each) => String(each.body))).toEqual(["other", "other", "other"]);
  });

  test("parameters whose type the caller has named", async () => {
    const { url, seen } = await serve(status(201));
    const headers = { "Content-Type": "text/plain" };
    const init = { method: "POST", body: new URLSearchParams({ a: "1" }), headers };
    await createClient().fetch(url, init);
    expect(seen[0]?.headers["content-type"]).toBe("text/plain");
  });

  test("whatever the caller does to it meanwhile", async () => {
    const { url, seen } = await serve(...threeTries);
    const client = createClient();
    const mine = bytes.slice();
    const params = new URLSearchParams({ a: "1" });
    const headers = new Headers({ "X-Mine": "1" });
    const target = new URL(url);
    const one = client.fetch(target, { method: "POST", body: mine, headers });
    mine.fill(7);
    headers.set("X-Mine", "2");
    target.pathname = "/others";
    await one;
    expect(seen.map(({ body }) => body)).toEqual(Array(3).fill(Buffer.from(bytes)));
    expect(seen.map((each) => each.headers["x-mine"])).toEqual(["1", "1", "1"]);
    const raw = bytes.slice();
    const two = client.fetch(url, { method: "POST", body: params });
    params.set("a", "2");
    await two;
    const three = client.fetch(url, { method: "POST", body: raw.buffer });
    raw.fill(7);
    await three;
    expect(String(seen[3]?.body)).toBe("a=1");
    expect(seen[4]?.body).toEqual(Buffer.from(bytes));
  });
});

describe("a Request", () => {
  test("is sent with its headers, or with those beside it", async () => {
    const { url, seen } = await serve(status(201));
    const make = () => new Request(url, { method: "PATCH", body: "x", headers: { "X-A": "1" } });
    await createClient().fetch(make());
    await createClient().fetch(make(), { headers: { "X-B": "2" }, method: "POST" });
    expect(seen.map(({ method, headers }) => [method, headers["x-a"], headers["x-b"]])).toEqual([
      ["PATCH", "1", undefined],
      ["POST", undefined, "2"],
    ]);
  });

  test("keeps its policy for referrers, which fetch itself would reset", async () => {
    const { url } = await serve(status(201));
    const sent: (RequestInit | undefined)[] = [];
    const client = createClient({
      fetch: (input: string | Request, init?: RequestInit) => {
        sent.push(init);
        return fetch(input, init);
      },
    });
    await client.fetch(new Request(url, { method: "POST", referrerPolicy: "no-referrer" }));
    expect(sent[0]).toMatchObject({ referrerPolicy: "no-referrer" });
  });

  test("that was read is refused", async () => {
    const { url, seen } = await serve(status(201));
    const request = new Request(url, { method: "POST", body: "x" });
    await request.text();
    const error = await rejection(createClient().fetch(request));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: expect.stringMatching(/^input: expected a Request/) });
    expect(seen).toEqual([]);
  });
});

describe("a body that cannot be sent again is refused before anything is sent:", () => {
  const refused: readonly (readonly [string, () => unknown, string])[] = [
    ["a stream", () => new Blob(["x"]).stream(), "got a ReadableStream, which can be sent only"],
    ["a generator", async function* () {}, "got a function"],
    ["an object", () => ({ sku: "teapot" }), "got an object. An object is to be JSON first."],
    ["a list", () => [1], "got a list"],
    ["a number", () => 42, "got 42"],
    ["a Map", () => new Map(), "got an instance of Map"],
    [
      "a form of another implementation",
      () => ({ [Symbol.toStringTag]: "FormData" }),
      "got a FormData of another implementation",
    ],
  ];
  for (const [name, make, message] of refused) {
    test(name, async () => {
      const { url, seen } = await serve(status(201));
      const body = (name === "a generator" ? make : make()) as string;
      const error = await rejection(createClient().fetch(url, { method: "POST", body }));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toContain("body: expected a string, an ArrayBuffer or a");
      expect((error as Error).message).toContain(message);
      expect(seen).toEqual([]);
    });
  }
});
