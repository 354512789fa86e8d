import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createClient, IdempotencyDeadlineError, type RetryEvent } from "../src/index.ts";
import { type Respond, rejection, reset, serve, silent, status } from "./server.ts";

const order = { method: "POST", body: '{"sku":"teapot"}' };

/** Sends an order that fails, and tells how and when. */
async function failed(
  limits: { readonly deadlineMs: number; readonly attemptTimeoutMs?: number },
  ...answers: readonly Respond[]
) {
  const { url, seen } = await serve(...answers);
  const startedMs = performance.now();
  const error = await rejection(createClient().fetch(url, order, { key: "k-1", ...limits }));
  return { error: error as IdempotencyDeadlineError, tookMs: performance.now() - startedMs, seen };
}

describe("when the deadline is over", () => {
  test("an error says that nobody knows, and has the key to try again with", async () => {
    const { error, tookMs, seen } = await failed({ deadlineMs: 2_000 }, reset);
    expect(error).toBeInstanceOf(IdempotencyDeadlineError);
    expect(error).toBeInstanceOf(Error);
    const { name, code, key, attempts, lastStatus, retryAfterMs } = error;
    expect({ name, code, key }).toEqual({
      name: "IdempotencyDeadlineError",
      code: "DEADLINE_EXCEEDED",
      key: "k-1",
    });
    // The last one may have been cut off before the server saw it.
    expect([seen.length, seen.length + 1]).toContain(attempts);
    expect([lastStatus, retryAfterMs]).toEqual([undefined, undefined]);
    expect(error.cause).toMatchObject({ message: "fetch failed" });
    expect(error.message).toMatch(
      /^No final answer after \d attempts in \d+ ms; the last one got no response \(see `cause`\)\. Nobody knows whether the operation happened\. Try again later with the same key/,
    );
    expect(error.message).not.toContain("k-1");
    expect(tookMs).toBeLessThan(5_000);
  });

  test("a silent server is not waited for any longer", async () => {
    const { error, tookMs } = await failed({ deadlineMs: 300 }, silent);
    expect(error).toMatchObject({ attempts: 1, lastStatus: undefined });
    expect(error.cause).toMatchObject({ message: "No response came within 300 ms." });
    expect(error.message).toMatch(/^No final answer after 1 attempt in \d+ ms/);
    expect(tookMs).toBeGreaterThan(290);
    expect(tookMs).toBeLessThan(5_000);
  });

  test("the last attempt gets the time that is left, and no more", async () => {
    const limits = { deadlineMs: 3_000, attemptTimeoutMs: 2_000 };
    const { error, tookMs } = await failed(limits, silent);
    expect(error.attempts).toBe(2);
    expect(tookMs).toBeGreaterThan(2_990);
    expect(tookMs).toBeLessThan(4_000);
  });

  test("the response that came last is told by its status, and is no answer", async () => {
    const { error } = await failed({ deadlineMs: 10_000 }, status(503, { "Retry-After": "11" }));
    expect(error).toBeInstanceOf(IdempotencyDeadlineError);
    expect(error.lastStatus).toBe(503);
    expect(error.cause).toBe(undefined);
    expect("cause" in error).toBe(false);
    expect(error.message).toContain("the last one got 503.");
  });

  test("a Retry-After beyond it is not waited for", async () => {
    const { error, tookMs, seen } = await failed(
      { deadlineMs: 20_000 },
      status(429, { "Retry-After": "21" }),
    );
    expect(error).toMatchObject({ attempts: 1, lastStatus: 429, retryAfterMs: 21_000 });
    expect(tookMs).toBeLessThan(10_000);
    expect(seen.length).toBe(1);
  });

  test("a Retry-After beyond all numbers is no exception", async () => {
    const headers = { "Retry-After": "9".repeat(400) };
    const { error } = await failed({ deadlineMs: 20_000 }, status(503, headers));
    expect(error).toMatchObject({ attempts: 1, lastStatus: 503 });
  });
});

test("the time-outs end with the head of the response: its body may take longer", async () => {
  const { url } = await serve(async (response) => {
    response.writeHead(201).write("slow ");
    await sleep(1_300);
    response.end("body");
  });
  const limits = { deadlineMs: 1_000, attemptTimeoutMs: 1_000 };
  const { response } = await createClient(limits).fetch(url, order);
  expect(await response.text()).toBe("slow body");
});

describe("the caller's signal", () => {
  const reason = new Error("the user has left");

  /** Sends an order and aborts it after a while. */
  async function aborted(afterMs: number, ...answers: readonly Respond[]) {
    const server = await serve(...answers);
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), afterMs);
    const startedMs = performance.now();
    const init = { ...order, signal: controller.signal };
    const events: RetryEvent[] = [];
    const client = createClient({ onRetry: (event) => events.push(event) });
    const error = await rejection(client.fetch(server.url, init));
    return { error, events, tookMs: performance.now() - startedMs, ...server };
  }

  test("that is aborted before stops all", async () => {
    const { url, seen } = await serve(status(201));
    const signal = AbortSignal.abort(reason);
    expect(await rejection(createClient().fetch(url, { ...order, signal }))).toBe(reason);
    const request = new Request(url, { ...order, signal });
    expect(await rejection(createClient().fetch(request))).toBe(reason);
    expect(seen).toEqual([]);
  });

  test("stops an attempt that is under way, at once", async () => {
    let isCut = false;
    const { error, tookMs, seen, events } = await aborted(100, (response) => {
      response.once("close", () => {
        isCut = true;
      });
    });
    expect(error).toBe(reason);
    expect(tookMs).toBeLessThan(8_000);
    await sleep(500);
    expect([seen.length, isCut]).toEqual([1, true]);
    expect(events).toEqual([]);
  });

  test("leaves the attempts' own time-outs as they are", async () => {
    const { url } = await serve(silent, status(201));
    const init = { ...order, signal: new AbortController().signal };
    const { attempts } = await createClient({ attemptTimeoutMs: 600 }).fetch(url, init);
    expect(attempts).toBe(2);
  });

  test("stops a wait, at once", async () => {
    const { error, tookMs, seen } = await aborted(200, status(503, { "Retry-After": "20" }));
    expect(error).toBe(reason);
    expect(tookMs).toBeLessThan(8_000);
    expect(seen.length).toBe(1);
  });

  test("stops a wait that a listener has just heard of", async () => {
    const { url, seen } = await serve(status(503, { "Retry-After": "45" }));
    const controller = new AbortController();
    const client = createClient({ onRetry: () => controller.abort(reason) });
    const init = { ...order, signal: controller.signal };
    expect(await rejection(client.fetch(url, init))).toBe(reason);
    expect(seen.length).toBe(1);
  });

  test("stops the look into a problem, at once", async () => {
    const { error, tookMs } = await aborted(100, (response) => {
      response.writeHead(409, { "Content-Type": "application/problem+json" }).write("{");
    });
    expect(error).toBe(reason);
    expect(tookMs).toBeLessThan(8_000);
  });

  test("stops the reading of a Request's body before anything is sent", async () => {
    const { url, seen } = await serve(status(201));
    const controller = new AbortController();
    const body = new ReadableStream({ start: (stream) => stream.enqueue(new Uint8Array(1)) });
    const { signal } = controller;
    const init = { method: "POST", body, duplex: "half" as const, signal };
    const sent = rejection(createClient().fetch(new Request(url, init)));
    setTimeout(() => controller.abort(reason), 50);
    expect(await sent).toBe(reason);
    expect(seen).toEqual([]);
  });

  test("stops the body of the final response too", async () => {
    const { url } = await serve((response) => {
      response.writeHead(201).write("begun");
    });
    const controller = new AbortController();
    const init = { ...order, signal: controller.signal };
    const { response } = await createClient().fetch(url, init);
    controller.abort(reason);
    await expect(response.text()).rejects.toThrow();
  });

  test("of a Request counts unless `init` has another one, or null", async () => {
    const later = status(503, { "Retry-After": "1" });
    const { url } = await serve(later, later, later, status(201));
    const mine = new AbortController();
    const request = () => new Request(url, { ...order, signal: mine.signal });
    setTimeout(() => mine.abort(reason), 200);
    const client = createClient();
    const other = new AbortController().signal;
    const [own, another, none] = await Promise.allSettled([
      client.fetch(request()),
      client.fetch(request(), { signal: other }),
      client.fetch(request(), { signal: null }),
    ]);
    expect(own).toMatchObject({ status: "rejected", reason });
    expect([another.status, none.status]).toEqual(["fulfilled", "fulfilled"]);
  });

  test("with a time-out of its own ends in that signal's TimeoutError", async () => {
    const { url } = await serve(silent);
    const signal = AbortSignal.timeout(100);
    const error = await rejection(createClient().fetch(url, { ...order, signal }));
    expect(error).toBe(signal.reason);
    expect(error).toMatchObject({ name: "TimeoutError" });
  });

  test("may be that of many calls that wait", async () => {
    const { url } = await serve(status(503, { "Retry-After": "1" }));
    const warnings: Error[] = [];
    const heard = (warning: Error) => void warnings.push(warning);
    process.on("warning", heard);
    const mine = new AbortController();
    const init = { ...order, signal: mine.signal };
    const calls = Array.from({ length: 20 }, () => rejection(createClient().fetch(url, init)));
    await sleep(300);
    mine.abort(reason);
    expect(await Promise.all(calls)).toEqual(calls.map(() => reason));
    process.off("warning", heard);
    expect(warnings).toEqual([]);
  });
});
