import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import {
  type Attempt,
  type ClientOptions,
  createClient,
  type RetryEvent,
  ShouldRetryError,
} from "../src/index.ts";
import { problem, type Respond, rejection, reset, serve, status } from "./server.ts";

const order = { method: "POST", body: '{"sku":"teapot"}' };
const now = { "Retry-After": "0" };
const json = { "Content-Type": "application/json" };

type ShouldRetry = NonNullable<ClientOptions["shouldRetry"]>;

/** Sends an order to a server that gives these responses, under this option. */
async function placed(shouldRetry: ShouldRetry, ...responses: readonly Respond[]) {
  const server = await serve(...responses);
  const events: RetryEvent[] = [];
  const onRetry = (event: RetryEvent) => void events.push(event);
  const client = createClient({ shouldRetry, onRetry, attemptTimeoutMs: 600 });
  const answer = await client.fetch(server.url, order, { key: "k-1" });
  const { status: got } = answer.response;
  return { ...answer, status: got, text: await answer.response.text(), events };
}

describe("shouldRetry", () => {
  test("sends a response again if it returns true, and waits as Retry-After says", async () => {
    const busy = status(423, { "Retry-After": "1" });
    const { attempts, events } = await placed((r) => r.status === 423, busy, status(201));
    expect(attempts).toBe(2);
    expect(events).toMatchObject([{ reason: "should-retry", status: 423 }]);
    expect(events[0]?.delayMs).toBeGreaterThanOrEqual(1_000);
  });

  test("makes a response final if it returns false", async () => {
    const { attempts, status: got } = await placed(() => false, status(503, now), status(201));
    expect([got, attempts]).toEqual([503, 1]);
  });

  test("leaves the decision to the default rule if it returns undefined", async () => {
    const responses = [status(503, now), problem(409, { code: "in-progress" }), status(409)];
    const { attempts, events, status: got } = await placed(() => undefined, ...responses);
    expect([got, attempts]).toEqual([409, 3]);
    expect(events.map(({ reason }) => reason)).toEqual(["status", "in-progress"]);
  });

  test("may return a promise", async () => {
    const later: ShouldRetry = async ({ status: got }) => (await sleep(20)) ?? got === 423;
    expect((await placed(later, status(423, now), status(201))).attempts).toBe(2);
  });

  test("gets each response, with its attempt and the key; a broken connection has none", async () => {
    const calls: (readonly [number, Attempt])[] = [];
    const listed: ShouldRetry = ({ status: got }, attempt) => void calls.push([got, attempt]);
    const replayed = status(201, { "Idempotency-Replayed": "true" });
    await placed(listed, reset, status(503, now), replayed);
    expect(calls).toEqual([
      [503, { key: "k-1", attempt: 2 }],
      [201, { key: "k-1", attempt: 3 }],
    ]);
  });

  test("may decide about a success and about a replay", async () => {
    const pending = status(200, { ...json, "Idempotency-Replayed": "true" }, '{"state":"pending"}');
    const isPending: ShouldRetry = async (response) =>
      response.status === 200 && ((await response.json()) as { state: string }).state === "pending";
    expect((await placed(isPending, pending, status(201))).attempts).toBe(2);
  });

  test("may read the body, which the caller can read again", async () => {
    const bodies: string[] = [];
    const reads: ShouldRetry = async (response) => void bodies.push(await response.text());
    const { text } = await placed(reads, problem(409, { code: "outcome-unknown" }));
    expect([...bodies, text]).toEqual(Array(2).fill('{"code":"outcome-unknown"}'));
  });

  test("may read a part of a long body, which the caller still gets whole", async () => {
    const long = "x".repeat(300_000);
    const peeks: ShouldRetry = async ({ body }) => {
      const reader = body?.getReader();
      await reader?.read();
      reader?.releaseLock();
      return undefined;
    };
    expect((await placed(peeks, status(409, {}, long))).text).toBe(long);
  });

  test("frees the connections of the responses that are sent again", async () => {
    let closed = 0;
    const endless: Respond = (response) => {
      response.once("close", () => {
        closed += 1;
      });
      response.writeHead(423, now).write("x".repeat(200_000));
    };
    await placed(({ status: got }) => got === 423, endless, endless, endless, status(201));
    await vi.waitFor(() => expect(closed).toBe(3), 5_000);
  });

  test("is bounded by the attempt's timeout if it does not settle", async () => {
    const first = (attempt: Attempt) =>
      attempt.attempt === 1 ? new Promise<never>(() => {}) : undefined;
    const { attempts, events } = await placed((_, attempt) => first(attempt), status(201));
    expect(attempts).toBe(2);
    expect(events).toMatchObject([{ reason: "attempt-timeout", status: 201 }]);
  });

  test("is bounded by the attempt's timeout if it reads a body that does not end", async () => {
    const endless: Respond = (response) => void response.writeHead(423).write("x");
    const reads: ShouldRetry = async (response) => void (await response.text());
    const { events } = await placed(reads, endless, status(201));
    expect(events).toMatchObject([{ reason: "attempt-timeout", status: 423 }]);
  });

  test("leads to another attempt if the connection breaks while it reads the body", async () => {
    const broken: Respond = (response) => {
      response.writeHead(423).write("x");
      setTimeout(() => response.socket?.destroy(), 20);
    };
    const reads: ShouldRetry = async (response) => void (await response.text());
    const { events } = await placed(reads, broken, status(201));
    expect(events).toMatchObject([{ reason: "network-error", status: 423 }]);
  });

  test("ends at once with the caller's signal", async () => {
    const reason = new Error("the user has left");
    const { url } = await serve(status(201));
    const controller = new AbortController();
    const shouldRetry = () => new Promise<never>(() => controller.abort(reason));
    const init = { ...order, signal: controller.signal };
    expect(await rejection(createClient({ shouldRetry }).fetch(url, init))).toBe(reason);
  });
});

describe("the fault of shouldRetry", () => {
  const fault = new Error("the caller's");

  async function failed(shouldRetry: unknown) {
    let isClosed = false;
    const server = await serve(reset, (response) => {
      response.once("close", () => {
        isClosed = true;
      });
      response.writeHead(503).write("endless");
    });
    const client = createClient({ shouldRetry: shouldRetry as ShouldRetry });
    const error = await rejection(client.fetch(server.url, order, { key: "k-1" }));
    await vi.waitFor(() => expect(isClosed).toBe(true), 5_000);
    expect(server.seen.length).toBe(2);
    return error as ShouldRetryError;
  }

  test("rejects the call at once, with the error as cause and the key to retry with", async () => {
    for (const shouldRetry of [
      () => {
        throw fault;
      },
      async () => {
        throw fault;
      },
    ]) {
      const error = await failed(shouldRetry);
      expect(error).toBeInstanceOf(ShouldRetryError);
      const { name, code, key, attempts, lastStatus, cause } = error;
      expect({ name, code, key }).toEqual({
        name: "ShouldRetryError",
        code: "SHOULD_RETRY_FAILED",
        key: "k-1",
      });
      expect({ attempts, lastStatus }).toEqual({ attempts: 2, lastStatus: 503 });
      expect(cause).toBe(fault);
      expect(error.message).toBe(
        "shouldRetry failed (see `cause`) on the response of attempt 2, with status 503. " +
          "The operation may have happened. Retry it with the same key (`error.key`): " +
          "a new key could make it happen twice.",
      );
    }
  });

  test("has undefined as cause if it threw undefined", async () => {
    const error = await failed(() => Promise.reject());
    expect(error).toBeInstanceOf(ShouldRetryError);
    expect([error.cause, "cause" in error]).toEqual([undefined, true]);
  });

  test("includes a return value other than true, false and undefined", async () => {
    for (const [value, shown] of [
      [null, "null"],
      ["yes", "'yes'"],
      [1, "1"],
    ] as const) {
      expect((await failed(() => value)).cause).toEqual(
        new TypeError(`shouldRetry: expected true, false or undefined, got ${shown}.`),
      );
    }
  });
});
