import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { untilSettled } from "../src/attempts.ts";
import { createClient, IdempotencyDeadlineError, type RetryEvent } from "../src/index.ts";
import { settingsOf } from "../src/options.ts";
import { problem, type Respond, rejection, reset, serve, silent, status } from "./server.ts";

const UUID = /^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"$/;
const order = { method: "POST", body: '{"sku":"teapot"}' };
const now = { "Retry-After": "0" };

/** Sends an order to a server that answers so, and tells what came of it. */
async function placed(...answers: readonly Respond[]) {
  return await placedWithin(10_000, ...answers);
}

async function placedWithin(attemptTimeoutMs: number, ...answers: readonly Respond[]) {
  const server = await serve(...answers);
  const events: RetryEvent[] = [];
  const client = createClient({ onRetry: (event) => events.push(event) });
  const answer = await client.fetch(server.url, order, { attemptTimeoutMs });
  const text = await answer.response.text();
  return { ...answer, text, events, seen: server.seen, status: answer.response.status };
}

describe("a request that is answered at once", () => {
  test("is sent once, with a new quoted key", async () => {
    const { seen, key, attempts, replayed, text } = await placed(status(201, {}, "made"));
    expect(seen.map((each) => each.key)).toEqual([`"${key}"`]);
    expect(`"${key}"`).toMatch(UUID);
    expect({ attempts, replayed, text }).toEqual({ attempts: 1, replayed: false, text: "made" });
  });

  test("has another key than the request after it", async () => {
    const { url, seen } = await serve(status(201));
    const client = createClient();
    await client.fetch(url, order);
    await client.fetch(url, order);
    expect(new Set(seen.map(({ key }) => key)).size).toBe(2);
  });
});

describe("a request is sent again with the same key", () => {
  const passing = [408, 425, 429, 500, 502, 503, 504];
  for (const code of passing) {
    test(`after ${code}`, async () => {
      const { seen, key, attempts, events } = await placed(status(code, now), status(201));
      expect(seen.map((each) => each.key)).toEqual([`"${key}"`, `"${key}"`]);
      expect(attempts).toBe(2);
      expect(events).toMatchObject([{ key, attempt: 1, reason: "status", status: code }]);
    });
  }

  test("after connections that break", async () => {
    const { seen, key, attempts, events } = await placed(reset, reset, status(201));
    expect(seen.map((each) => each.key)).toEqual([`"${key}"`, `"${key}"`, `"${key}"`]);
    expect(attempts).toBe(3);
    const reasons = events.map(({ attempt, reason, status }) => [attempt, reason, status]);
    expect(reasons).toEqual([
      [1, "network-error", undefined],
      [2, "network-error", undefined],
    ]);
  });

  test("where nothing listens yet", async () => {
    const { url } = await serve(status(201));
    const dead = url.replace(/:\d+/, ":1");
    const error = await rejection(createClient().fetch(dead, order, { deadlineMs: 2_000 }));
    expect(error).toBeInstanceOf(IdempotencyDeadlineError);
    expect((error as IdempotencyDeadlineError).attempts).toBeGreaterThan(1);
  });

  test("after an attempt that gets no answer in its time", async () => {
    const { seen, attempts, events } = await placedWithin(600, silent, status(201));
    expect(attempts).toBe(2);
    expect(events).toMatchObject([{ reason: "attempt-timeout", status: undefined }]);
    expect(seen[1]?.key).toBe(seen[0]?.key);
    expect((seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeGreaterThan(590);
  });

  test("after an answer whose work was done and whose way back was cut", async () => {
    const done = new Map<string, number>();
    const work: Respond = (response, { key = "" }) => {
      const replayed = done.has(key);
      if (!replayed) done.set(key, done.size + 1);
      if (!replayed) return response.socket?.destroy() as undefined;
      response.writeHead(201, { "Idempotency-Replayed": "true" }).end(`order ${done.get(key)}`);
    };
    const { text, replayed, attempts } = await placed(work);
    expect({ text, replayed, attempts }).toEqual({ text: "order 1", replayed: true, attempts: 2 });
    expect(done.size).toBe(1);
  });

  test("after 409 in-progress, until the recorded response is there", async () => {
    const running = problem(409, { code: "in-progress", retryable: true }, now);
    const recorded = status(201, { "Idempotency-Replayed": "true" }, "made");
    const { text, replayed, events, attempts } = await placed(running, running, recorded);
    expect({ text, replayed, attempts }).toEqual({ text: "made", replayed: true, attempts: 3 });
    expect(events).toMatchObject([
      { reason: "in-progress", status: 409 },
      { reason: "in-progress", status: 409 },
    ]);
  });

  test("after 202 in progress, where an earlier attempt may be running", async () => {
    const accepted = status(202, { ...now, Location: "/idempotency/k" });
    const { attempts, events } = await placed(reset, accepted, status(201));
    expect(attempts).toBe(3);
    expect(events[1]).toMatchObject({ reason: "in-progress", status: 202 });
  });

  test("after a problem of 503 that is no JSON, too long or silent on it", async () => {
    const type = { "Content-Type": "application/problem+json", ...now };
    const long = JSON.stringify({ detail: "x".repeat(70_000), retryable: false });
    const { attempts } = await placed(
      status(503, type, "{"),
      status(503, type, "null"),
      status(503, type, long),
      status(503, { ...type, "Transfer-Encoding": "chunked" }, long),
      problem(503, { code: "store-unavailable" }, now),
      status(201),
    );
    expect(attempts).toBe(6);
  });

  test("after a problem whose body breaks off or does not end", async () => {
    const begun = (response: Parameters<Respond>[0]) => {
      response.writeHead(409, { "Content-Type": "application/problem+json" });
      response.write('{"code":');
      return response;
    };
    const broken: Respond = (response) => {
      begun(response);
      setTimeout(() => response.socket?.destroy(), 20);
    };
    const endless: Respond = (response) => void begun(response);
    const { events } = await placedWithin(600, broken, endless, status(201));
    expect(events.map(({ reason }) => reason)).toEqual(["network-error", "attempt-timeout"]);
  });
});

describe("a response is final", () => {
  const finals: readonly (readonly [string, number, Respond])[] = [
    ["if it is 200", 200, status(200)],
    ["if it is 400", 400, status(400)],
    ["if it is 401", 401, status(401)],
    ["if it is 422", 422, problem(422, { code: "key-reused", retryable: false })],
    ["if it is 422 and says nothing", 422, status(422, now)],
    ["if it is 409 with another code", 409, problem(409, { code: "outcome-unknown" }, now)],
    ["if it is 409 without a problem", 409, status(409, {}, '{"code":"in-progress"}')],
    [
      "if its problem is not retryable",
      503,
      problem(503, { code: "store-unavailable", retryable: false }, now),
    ],
    [
      "if it is 409 in-progress and not retryable",
      409,
      problem(409, { code: "in-progress", retryable: false }, now),
    ],
    ["if it is a replayed 500", 500, status(500, { "Idempotency-Replayed": "true", ...now })],
    [
      "if it says twice that it is replayed",
      500,
      status(500, { "Idempotency-Replayed": ["true", "true"], ...now }),
    ],
    ["if it is replayed in Stripe's words", 503, status(503, { "Idempotent-Replayed": "true" })],
    ["if it is 501", 501, status(501, now)],
    ["if it is 202 to a new key", 202, status(202, { ...now, Location: "/jobs/1" })],
  ];
  for (const [name, code, respond] of finals) {
    test(name, async () => {
      const { attempts, status: got, replayed, seen } = await placed(respond, status(299));
      expect([got, attempts, seen.length]).toEqual([code, 1, 1]);
      expect(replayed).toBe(name.includes("replayed"));
    });
  }

  test("if it is 202 in progress that is replayed, or lacks Retry-After or Location", async () => {
    const location = { Location: "/idempotency/k" };
    for (const headers of [
      now,
      location,
      { ...now, ...location, "Idempotency-Replayed": "true" },
    ]) {
      const { attempts, status: got } = await placed(reset, status(202, headers), status(299));
      expect([got, attempts]).toEqual([202, 2]);
    }
  });

  test("only if `Idempotency-Replayed` is true", async () => {
    const { attempts } = await placed(
      status(500, { "Idempotency-Replayed": "false", ...now }),
      status(201),
    );
    expect(attempts).toBe(2);
  });

  test("and its problem can still be read", async () => {
    const { text, attempts } = await placed(problem(409, { code: "outcome-unknown" }));
    expect([text, attempts]).toEqual(['{"code":"outcome-unknown"}', 1]);
  });

  test("and a long problem can still be read", async () => {
    const long = JSON.stringify({ detail: "x".repeat(300_000) });
    const type = { "Content-Type": "application/problem+json", "Transfer-Encoding": "chunked" };
    expect((await placed(status(409, type, long))).text).toBe(long);
  });
});

describe("the wait between two attempts", () => {
  const waits = async (...answers: readonly Respond[]) =>
    (await placed(...answers)).events.map(({ delayMs }) => delayMs);

  test("doubles, and half of it is random", async () => {
    const delays = await waits(reset, reset, reset, status(201));
    for (const [index, delayMs] of delays.entries()) {
      const longestMs = 200 * 2 ** index;
      expect(delayMs).toBeGreaterThanOrEqual(longestMs / 2);
      expect(delayMs).toBeLessThanOrEqual(longestMs);
    }
    expect(delays.length).toBe(3);
  });

  test("is what Retry-After says in seconds, and is kept", async () => {
    const { events, seen } = await placed(status(503, { "Retry-After": "1" }), status(201));
    expect(events[0]?.delayMs).toBeGreaterThanOrEqual(1_000);
    expect(events[0]?.delayMs).toBeLessThanOrEqual(1_100);
    expect((seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeGreaterThan(990);
  });

  test("is what Retry-After says as a date, by the server's clock", async () => {
    const atMs = Date.UTC(2001, 0, 1);
    const date = (ms: number) => new Date(ms).toUTCString();
    const headers = { Date: date(atMs), "Retry-After": date(atMs + 1_000) };
    const [delayMs] = await waits(status(503, headers), status(201));
    expect(delayMs).toBeGreaterThanOrEqual(1_000);
    expect(delayMs).toBeLessThanOrEqual(1_100);
  });

  test("goes by its own clock where the server's date is not to be had", async () => {
    const undated: Respond = (response) => {
      response.sendDate = false;
      const at = new Date(Date.now() + 2_000).toUTCString();
      response.writeHead(503, { "Retry-After": at }).end();
    };
    const [delayMs] = await waits(undated, status(201));
    expect(delayMs).toBeGreaterThan(500);
    expect(delayMs).toBeLessThanOrEqual(2_100);
  });

  test("is short after a date that is over", async () => {
    const over = { "Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT" };
    const [delayMs] = await waits(status(503, over), status(201));
    expect(delayMs).toBeGreaterThanOrEqual(0);
    expect(delayMs).toBeLessThanOrEqual(100);
  });

  test("is its own after a Retry-After that says nothing", async () => {
    for (const value of ["soon", "1.5", "-1", "2001-01-01", ""]) {
      const answers = [reset, reset, status(503, { "Retry-After": value }), status(201)];
      expect((await waits(...answers))[2]).toBeGreaterThanOrEqual(400);
    }
  });

  test("is told before it begins", async () => {
    const { url, seen } = await serve(status(503, { "Retry-After": "1" }), status(201));
    const onRetry = vi.fn();
    const answer = createClient({ onRetry }).fetch(url, order);
    await vi.waitFor(() => expect(onRetry).toHaveBeenCalledOnce());
    expect(seen.length).toBe(1);
    await answer;
  });

  test("is not disturbed by a listener that throws; its fault is reported", async () => {
    const fault = new Error("the listener's");
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const reported = new Promise((resolve) => process.once("uncaughtException", resolve));
    try {
      const { url } = await serve(status(503, now), status(201));
      const onRetry = () => {
        throw fault;
      };
      const { attempts } = await createClient({ onRetry }).fetch(url, order);
      expect(attempts).toBe(2);
      expect(await reported).toBe(fault);
    } finally {
      for (const other of others) process.on("uncaughtException", other);
    }
  });
});

describe("what is dropped", () => {
  /** Five endless bodies that are dropped, and how many of their connections have ended. */
  async function ended(type: string) {
    let count = 0;
    const endless: Respond = (response) => {
      response.once("close", () => {
        count += 1;
      });
      response.writeHead(503, { "Content-Type": type, ...now }).write("x".repeat(200_000));
    };
    const { url } = await serve(...Array(5).fill(endless), status(201));
    const { response, attempts } = await createClient().fetch(url, order);
    await response.text();
    expect(attempts).toBe(6);
    return () => count;
  }

  test("frees its connections, however long its body", async () => {
    const count = await ended("text/plain");
    await vi.waitFor(() => expect(count()).toBe(5), 5_000);
  });

  test("frees its connections where a problem was looked into, too", async () => {
    const count = await ended("application/problem+json");
    await vi.waitFor(() => expect(count()).toBe(5), 5_000);
  });

  test("uses its connection again where its body was whole", async () => {
    const { url, openConnections } = await serve(
      ...Array(5).fill(problem(503, { code: "store-unavailable" }, now)),
      status(201),
    );
    await createClient().fetch(url, order);
    await sleep(20);
    expect(await openConnections()).toBeLessThanOrEqual(2);
  });
});

test("a server that always asks for another attempt at once is left in the end", async () => {
  const { url, seen } = await serve(status(503, now));
  const settings = { ...settingsOf({}), attemptsMax: 5 };
  const outgoing = { input: url, init: order };
  const call = { outgoing, key: "k", isFresh: true, signal: undefined, settings };
  const error = await rejection(untilSettled(call));
  expect(error).toMatchObject({ code: "DEADLINE_EXCEEDED", attempts: 5, lastStatus: 503 });
  expect(seen.length).toBe(5);
  expect(settingsOf({}).attemptsMax).toBe(1_000);
});
