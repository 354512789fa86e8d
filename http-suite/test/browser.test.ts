import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fastifyCors from "@fastify/cors";
import { createEngine, memoryStore } from "@idemkit/engine";
import * as fastifyBinding from "@idemkit/fastify";
import * as koaBinding from "@idemkit/koa";
import koaCors from "@koa/cors";
import { build } from "esbuild";
import fastify from "fastify";
import Koa from "koa";
import { expect, onTestFinished, test } from "vitest";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const folders = (process.env.PATH ?? "").split(delimiter);
const browser = NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) =>
  existsSync(path),
);
if (browser === undefined) {
  process.stderr.write(`Nothing is tested in a browser: PATH has none of ${NAMES.join(", ")}.\n`);
}

/** Without these it speaks to its maker's hosts, and waits where it cannot. */
const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

const options = () => ({ engine: createEngine({ store: memoryStore() }), scope: () => "ada" });
const HANDLER_MS = 150;

/** Counts its runs, of which the first answers a client that is to come again. */
async function takeOrder(runs: { count: number }): Promise<{ status: number; body: object }> {
  runs.count += 1;
  const run = runs.count;
  await pause(HANDLER_MS);
  if (run === 1) return { status: 429, body: { title: "not now" } };
  return { status: 201, body: { run } };
}

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function fastifyApi(): Promise<string> {
  const app = fastify();
  const runs = { count: 0 };
  const { allowHeaders, exposeHeaders } = fastifyBinding.corsHeaders();
  await app.register(fastifyCors, { allowedHeaders: allowHeaders, exposedHeaders: exposeHeaders });
  await app.register(fastifyBinding.idempotency, options());
  app.post("/orders", { config: { idempotency: true } }, async (_request, reply) => {
    const { status, body } = await takeOrder(runs);
    reply.code(status).header("location", "/orders/1");
    return body;
  });
  await app.ready();
  onTestFinished(async () => void (await app.close()));
  return await app.listen({ port: 0, host: "127.0.0.1" });
}

async function koaApi(): Promise<string> {
  const app = new Koa();
  const runs = { count: 0 };
  const { allowHeaders, exposeHeaders } = koaBinding.corsHeaders();
  app.use(koaCors({ allowHeaders, exposeHeaders }));
  app.use(koaBinding.idempotency(options()));
  app.use(async (ctx) => {
    const { status, body } = await takeOrder(runs);
    ctx.set("Location", "/orders/1");
    ctx.body = body;
    ctx.status = status;
  });
  return await listening(createServer(app.callback()));
}

/** What a page does: two calls at once under one key, and a third one later. */
async function page(apis: readonly string[]): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../packages/client/src/index.ts", import.meta.url))],
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "idemkit",
    write: false,
  });
  return `<!doctype html><meta charset="utf-8"><script>${outputFiles[0]?.text}</script><script>
    const client = idemkit.createClient();
    const init = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sku: "teapot" }),
    };
    async function told({ response, replayed }) {
      const { status, headers } = response;
      return { status, replayed, location: headers.get("location"), body: await response.json() };
    }
    async function order(api) {
      const { key } = client.operation();
      const both = await Promise.all([1, 2].map(() => client.fetch(api + "/orders", init, { key })));
      const third = await client.fetch(api + "/orders", init, { key });
      return await Promise.all([...both, third].map(told));
    }
    const tell = (what) => fetch("/told", { method: "POST", body: JSON.stringify(what) });
    Promise.all(${JSON.stringify(apis)}.map(order)).then(tell, (error) => tell(String(error)));
  </script>`;
}

/** Opens a page, and waits for what it tells. */
async function toldBy(html: string): Promise<unknown> {
  let tell: (what: unknown) => void;
  const what = new Promise((resolve) => {
    tell = resolve;
  });
  const origin = await listening(
    createServer(async (request, response) => {
      if (request.url === "/told") tell(JSON.parse(await text(request)));
      response.setHeader("content-type", "text/html; charset=utf-8").end(html);
    }),
  );
  const profile = mkdtempSync(join(tmpdir(), "idemkit-browser-"));
  const args = [...FLAGS, `--user-data-dir=${profile}`, origin];
  // In a group of its own, as it has children.
  const child = spawn(browser as string, args, { stdio: "ignore", detached: true });
  onTestFinished(() => ended(child, profile));
  const exit = once(child, "exit").then(([code]) => `The browser has ended with ${code}.`);
  return await Promise.race([what, exit]);
}

async function ended(child: ChildProcess, profile: string): Promise<void> {
  const { pid, exitCode } = child;
  if (pid !== undefined && exitCode === null) {
    const exit = once(child, "exit");
    process.kill(-pid, "SIGKILL");
    await exit;
  }
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

test.skipIf(browser === undefined)(
  "a page of another origin retries one operation under its key, and sees what was replayed",
  async () => {
    const apis = [await fastifyApi(), await koaApi()];
    const answer = { status: 201, location: "/orders/1", body: { run: 2 } };
    const told = (await toldBy(await page(apis))) as readonly { readonly replayed: boolean }[][];
    expect(told).toEqual(
      apis.map(() => [1, 2, 3].map(() => ({ ...answer, replayed: expect.any(Boolean) }))),
    );
    const replayed = told.map((each) => each.map((one) => one.replayed));
    for (const [first, second, third] of replayed)
      expect([first !== second, third]).toEqual([true, true]);
  },
  60_000,
);
