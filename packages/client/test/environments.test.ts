import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import ts from "typescript";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { createClient } from "../src/index.ts";
import { reset, serve, status } from "./server.ts";

const entry = fileURLToPath(new URL("../src/index.ts", import.meta.url));
const now = { "Retry-After": "0" };

/** The package as one script, which puts its exports into a global. Node's modules are not there. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "browser",
    target: "es2022",
    format: "iife",
    globalName: "idemkit",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

describe("in a browser", () => {
  test("the package needs nothing but what browsers have", async () => {
    const { url, seen } = await serve(reset, status(503, now), status(201, {}, "made"));
    const { AbortController, AbortSignal, Headers, Request, Response, URL } = globalThis;
    const { crypto, fetch, performance, queueMicrotask, setTimeout, clearTimeout } = globalThis;
    const web = { AbortController, AbortSignal, Headers, Request, Response, URL, TextDecoder };
    const also = { crypto, fetch, performance, queueMicrotask, setTimeout, clearTimeout };
    const context = createContext({ ...web, ...also, url });
    runInContext(await bundle(), context);
    const script =
      "const body = new Uint8Array([1, 2]).buffer;" +
      "idemkit.createClient().fetch(url, { method: 'POST', body })";
    const { response, attempts } = await runInContext(script, context);
    expect([await response.text(), attempts]).toEqual(["made", 3]);
    expect(seen.map(({ body }) => [...body])).toEqual(Array(3).fill([1, 2]));
  });

  test("the bundle is small", async () => {
    expect((await bundle()).length).toBeLessThan(30_000);
  });

  test("fetch is called as nobody's method", async () => {
    const { url } = await serve(status(201));
    const callers: unknown[] = [];
    async function windowFetch(this: unknown, input: string, init?: RequestInit) {
      callers.push(this);
      return await fetch(input, init);
    }
    await createClient({ fetch: windowFetch }).fetch(url, { method: "POST" });
    expect(callers).toEqual([undefined]);
  });

  test("a page without crypto.randomUUID is told to pass a key", async () => {
    const { url } = await serve(status(201));
    const context = createContext({ ...globalThis, url, AbortSignal, Headers, crypto: {} });
    runInContext(await bundle(), context);
    const script = "idemkit.createClient().fetch(url, { method: 'POST' }).catch(String)";
    expect(await runInContext(script, context)).toMatch(/^TypeError: key: none could be made, as/);
  });
});

describe("the types", () => {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const user = `${folder}a-user.ts`;
  const source = `
    import { createClient, type Answer, type Client } from "../src/index.ts";
    const client: Client = createClient({ fetch, onRetry: ({ delayMs }) => void delayMs.toFixed() });
    const operation = client.operation({ key: "k" });
    createClient({ shouldRetry: (response, { attempt, key }) => response.ok && attempt > key.length });
    createClient({ shouldRetry: async (response: Response) => (await response.text()) === "busy" || undefined });
    export async function use(signal: AbortSignal): Promise<string> {
      const init: RequestInit = { method: "POST", body: new FormData(), signal };
      const answer: Answer = await client.fetch(new URL("https://a.example/"), init, { key: "k" });
      const { response } = await operation.fetch(new Request("https://a.example/", init));
      const bare: Response = (await createClient().fetch("https://a.example/", init)).response;
      return (await response.text()) + answer.key.trim() + bare.headers.get("x");
    }
    // @ts-expect-error: a body has to be one
    client.fetch("https://a.example/", { body: 42 });
    // @ts-expect-error: no such option
    createClient({ deadline: 5 });
    // @ts-expect-error: that is no decision
    createClient({ shouldRetry: () => "yes" });
    // @ts-expect-error: that is no fetch
    createClient({ fetch: async () => 5 });
  `;

  /** What the compiler says of a user of the package, and of the package, under these libraries. */
  function complaints(lib: readonly string[], types: readonly string[], text = source) {
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: lib.map((name) => `lib.${name}.d.ts`),
      types: [...types],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      allowImportingTsExtensions: true,
      noEmit: true,
      skipLibCheck: true,
    };
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.fileExists = (path) => path === user || fileExists(path);
    host.readFile = (path) => (path === user ? text : readFile(path));
    host.getSourceFile = (path, language, ...rest) =>
      path === user
        ? ts.createSourceFile(path, text, language)
        : getSourceFile(path, language, ...rest);
    const program = ts.createProgram([user], options, host);
    return ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  }

  const settings: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["the DOM's alone", ["es2022", "dom"], []],
    ["a worker's alone", ["es2022", "webworker"], []],
    ["Node's alone", ["es2022"], ["node"]],
    ["the DOM's and Node's together", ["es2023", "dom", "dom.iterable"], ["node"]],
  ];
  for (const [name, lib, types] of settings) {
    test(`hold with ${name}`, () => {
      expect(complaints(lib, types)).toEqual([]);
    });
  }

  test("are looked at by this test: a wrong use is found", () => {
    const wrong = source.replace("const answer: Answer", "const answer: string");
    expect(complaints(["es2022", "dom"], [], wrong)[0]).toContain("is not assignable to type");
  });
});

describe("the fetch of undici's package", () => {
  test("sends, and what it takes and answers is undici's", async () => {
    const { url, seen } = await serve(reset, status(503, now, "x"), status(201, {}, "made"));
    const dispatcher = new undici.Agent();
    const client = createClient({ fetch: undici.fetch });
    const headers = new undici.Headers({ "X-Mine": "1" });
    const init = { method: "POST", body: "x", headers, dispatcher };
    const { response, attempts } = await client.fetch(url, init);
    const same: undici.Response = response;
    expect([await same.text(), attempts]).toEqual(["made", 3]);
    expect(seen.map((each) => each.headers["x-mine"])).toEqual(["1", "1", "1"]);
    expect(new Set(seen.map(({ key }) => key)).size).toBe(1);
    await dispatcher.close();
  });

  test("gives shouldRetry undici's responses", async () => {
    const { url } = await serve(status(423, now, "busy"), status(201));
    const client = createClient({
      fetch: undici.fetch,
      shouldRetry: async (response) => {
        const same: undici.Response = response;
        return (await same.text()) === "busy";
      },
    });
    expect((await client.fetch(url, { method: "POST" })).attempts).toBe(2);
  });

  test("sends undici's Request, with a form in it", async () => {
    const { url, seen } = await serve(reset, status(201));
    const body = new undici.FormData();
    body.append("sku", "teapot");
    const client = createClient({ fetch: undici.fetch });
    await client.fetch(new undici.Request(url, { method: "POST", body }));
    expect(String(seen[0]?.body)).toContain("teapot");
    expect(seen[1]?.body).toEqual(seen[0]?.body);
  });
});

test("globalThis.fetch is looked up at each call", async () => {
  const { url } = await serve(status(201));
  const client = createClient();
  const { fetch } = globalThis;
  let calls = 0;
  globalThis.fetch = (...args) => {
    calls += 1;
    return fetch(...args);
  };
  try {
    await client.fetch(url, { method: "POST" });
  } finally {
    globalThis.fetch = fetch;
  }
  expect(calls).toBe(1);
});
