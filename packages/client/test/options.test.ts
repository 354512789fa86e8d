import { describe, expect, test } from "vitest";
import { type ClientOptions, createClient, type OperationOptions } from "../src/index.ts";
import { rejection, reset, serve, status } from "./server.ts";

const order = { method: "POST", body: "{}" };

describe("the key", () => {
  const sent = async (key: string, options: ClientOptions = {}) => {
    const { url, seen } = await serve(reset, status(201));
    const answer = await createClient(options).fetch(url, order, { key });
    expect(answer.key).toBe(key);
    expect(seen.length).toBe(2);
    return seen.map(({ headers, key: got }) => got ?? headers["x-request-key"]);
  };

  test("of the caller is sent as a quoted string, with what has to be escaped", async () => {
    for (const [key, quoted] of [
      ["order-7", '"order-7"'],
      ["a,b; c=d", '"a,b; c=d"'],
      ['say "hi"', '"say \\"hi\\""'],
      ["back\\slash", '"back\\\\slash"'],
      ["x".repeat(255), `"${"x".repeat(255)}"`],
    ] as const) {
      expect(await sent(key)).toEqual([quoted, quoted]);
    }
  });

  test("is sent bare where that is asked for", async () => {
    expect(await sent("order-7", { keyFormat: "bare" })).toEqual(["order-7", "order-7"]);
  });

  test("is sent under another name where that is asked for", async () => {
    const options = { header: "X-Request-Key" };
    expect(await sent("order-7", options)).toEqual(['"order-7"', '"order-7"']);
  });

  const wrong: readonly (readonly [string, unknown, string])[] = [
    ["is empty", "", "got an empty string"],
    ["is too long", "x".repeat(256), "1 to 255 characters, got a string of 256 characters"],
    ["is no string", 7, "got 7"],
    ["is null", null, "got null"],
    ["has a line break", "a\nb", "expected printable ASCII"],
    ["has a letter beyond ASCII", "é", "expected printable ASCII"],
    ["has blanks alone", "  ", "not blanks alone"],
  ];
  for (const [name, key, message] of wrong) {
    test(`is refused if it ${name}`, async () => {
      const { url, seen } = await serve(status(201));
      const client = createClient();
      const options = { key } as OperationOptions;
      const error = await rejection(client.fetch(url, order, options));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(/^key: expected/);
      expect((error as Error).message).toContain(message);
      expect(() => client.operation(options)).toThrow(message);
      expect(seen).toEqual([]);
    });
  }

  test("is refused bare where that would mean something else", () => {
    const client = createClient({ keyFormat: "bare" });
    for (const key of ["a,b", 'a"b', '"a"', "a b"]) {
      expect(() => client.operation({ key })).toThrow(/^key: expected no blank, comma or double/);
    }
  });

  test("among the caller's own headers is refused", async () => {
    const { url, seen } = await serve(status(201));
    const headers = { "idempotency-key": "mine" };
    for (const call of [
      createClient().fetch(url, { ...order, headers }),
      createClient().fetch(new Request(url, { ...order, headers })),
    ]) {
      expect(await rejection(call)).toMatchObject({
        name: "TypeError",
        message: "headers: Idempotency-Key is written by the client. Pass the key as `key`.",
      });
    }
    expect(seen).toEqual([]);
  });
});

describe("a method", () => {
  test("without a key is refused, and the error says what to do", async () => {
    const { url, seen } = await serve(status(200));
    for (const [method, init] of [
      ["GET", undefined],
      ["GET", {}],
      ["PUT", { method: "put" }],
      ["DELETE", { method: "DELETE" }],
    ] as const) {
      const error = await rejection(createClient().fetch(url, init));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toBe(
        `method: expected POST or PATCH, got '${method}', which is sent without a key: ` +
          "use fetch itself, or name it in the option `methods` of createClient.",
      );
    }
    expect(await rejection(createClient().fetch(new Request(url)))).toBeInstanceOf(TypeError);
    expect(seen).toEqual([]);
  });

  test("that was named is sent with a key, and again", async () => {
    const { url, seen } = await serve(reset, status(200));
    const client = createClient({ methods: ["put", "GET"] });
    await client.fetch(url, { method: "PUT", body: "x" });
    await client.fetch(url);
    expect(seen.map(({ method }) => method)).toEqual(["PUT", "PUT", "GET"]);
    expect(seen.map(({ key }) => typeof key)).toEqual(["string", "string", "string"]);
    expect(await rejection(client.fetch(url, order))).toBeInstanceOf(TypeError);
  });

  test("is sent in capitals, as servers know no `patch`", async () => {
    const { url, seen } = await serve(status(200));
    await createClient().fetch(url, { method: "patch", body: "x" });
    expect(seen[0]?.method).toBe("PATCH");
  });
});

test("a body of a method that has none is refused at once", async () => {
  const client = createClient({ methods: ["GET"] });
  const error = await rejection(client.fetch("http://localhost:1/", { body: "x" }));
  expect(error).toBeInstanceOf(TypeError);
});

describe("what fetch itself would refuse is refused at once:", () => {
  const wrong: readonly (readonly [string, string, RequestInit])[] = [
    ["a URL without a host", "/orders", order],
    ["a URL that is none", "http://", order],
    ["a URL of another kind", "ftp://localhost/orders", order],
    ["a URL with a password", "http://ann:secret@localhost/", order],
    ["a header that is none", "http://localhost:1/", { ...order, headers: { "a b": "c" } }],
    ["a mode that drops the key", "http://localhost:1/", { ...order, mode: "no-cors" }],
    ["a signal that is none", "http://localhost:1/", { ...order, signal: {} as AbortSignal }],
  ];
  for (const [name, url, init] of wrong) {
    test(name, async () => {
      const error = await rejection(createClient().fetch(url, init));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).name).toBe("TypeError");
    });
  }
});

describe("an option is refused", () => {
  const wrong: readonly (readonly [string, unknown, string])[] = [
    ["if it is misspelt", { deadline: 5 }, "deadline: no such option. Expected one of fetch, head"],
    ["if it is no object", null, "options: expected an object, got null."],
    ["if it is a list", [1], "options: expected an object, got a list."],
    ["if the deadline is 0", { deadlineMs: 0 }, "deadlineMs: expected a whole number from 1 to 86"],
    ["if the deadline is a string", { deadlineMs: "5" }, "deadlineMs: expected a whole number"],
    ["if the deadline is too far", { deadlineMs: 86_400_001 }, "got 86400001."],
    ["if the time-out is broken", { attemptTimeoutMs: 1.5 }, "attemptTimeoutMs: expected a whole"],
    ["if fetch is no function", { fetch: {} }, "fetch: expected a function, got an object."],
    [
      "if shouldRetry is no function",
      { shouldRetry: true },
      "shouldRetry: expected a function, got",
    ],
    ["if onRetry is no function", { onRetry: 1 }, "onRetry: expected a function, got 1."],
    ["if the header is no name", { header: "a b" }, "header: expected a name that HTTP allows, go"],
    ["if the format is unknown", { keyFormat: "raw" }, "expected 'quoted' or 'bare', got 'raw'."],
    ["if methods is a string", { methods: "POST" }, "methods: expected a list such as ['POST', "],
    ["if methods is empty", { methods: [] }, "got an empty list."],
    ["if a method is no name", { methods: ["POST", 1] }, "methods[1]: expected a name that HTTP"],
  ];
  for (const [name, options, message] of wrong) {
    test(name, () => {
      const create = () => createClient(options as ClientOptions);
      expect(create).toThrow(TypeError);
      expect(create).toThrow(message);
    });
  }

  test("of a call or an operation as well, before anything is sent", async () => {
    const { url, seen } = await serve(status(201));
    const client = createClient();
    const misspelt = { timeoutMs: 5 } as OperationOptions;
    const message = "timeoutMs: no such option. Expected one of key, deadlineMs, attemptTimeoutMs.";
    expect(await rejection(client.fetch(url, order, misspelt))).toMatchObject({ message });
    expect(() => client.operation(misspelt)).toThrow(message);
    expect(() => client.operation({ deadlineMs: -1 })).toThrow("deadlineMs: expected");
    expect(seen).toEqual([]);
  });
});
