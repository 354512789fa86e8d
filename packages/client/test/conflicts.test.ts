import { describe, expect, test } from "vitest";
import { createClient, IdempotencyDeadlineError, type RetryEvent } from "../src/index.ts";
import { problem, type Respond, rejection, serve, status } from "./server.ts";

const order = { method: "POST", body: '{"sku":"teapot"}' };
const now = { "Retry-After": "0" };
const json = { "Content-Type": "application/json" };
const problemJson = { "Content-Type": "application/problem+json" };

/** Sends an order to a server that gives these responses, the last one from then on. */
async function placed(...responses: readonly Respond[]) {
  const { url } = await serve(...responses);
  const events: RetryEvent[] = [];
  const client = createClient({ onRetry: (event) => events.push(event) });
  const { response, attempts } = await client.fetch(url, order);
  return { status: response.status, text: await response.text(), attempts, events };
}

/** An error in the form of Stripe's API. */
function stripeError(status_: number, code: string, headers: Record<string, string>): Respond {
  const body = JSON.stringify({ error: { type: "invalid_request_error", code, message: "m" } });
  return status(status_, { ...json, ...headers }, body);
}

describe("a 409 is sent again", () => {
  const retried: readonly (readonly [string, RetryEvent["reason"], Respond])[] = [
    ["if it has Retry-After and no body", "status", status(409, now)],
    ["if it has Retry-After and a text", "status", status(409, now, "busy")],
    [
      "if it has Retry-After and a problem of another code",
      "status",
      problem(409, { code: "locked" }, now),
    ],
    ["if its problem is retryable", "status", problem(409, { retryable: true })],
    [
      "if its problem has the code in-progress",
      "in-progress",
      problem(409, { code: "in-progress" }),
    ],
    [
      "if its problem has the draft's title for a request in progress",
      "in-progress",
      problem(409, {
        type: "https://developer.example.com/idempotency",
        title: "A request is outstanding for this Idempotency-Key",
      }),
    ],
    ["if Stripe-Should-Retry is true", "status", status(409, { "Stripe-Should-Retry": "true" })],
    [
      "if it has Stripe's code for a key in use",
      "in-progress",
      stripeError(409, "idempotency_key_in_use", {}),
    ],
    [
      "if the preset stripe of @idemkit/http says that the key is in use",
      "in-progress",
      stripeError(409, "idempotency_key_in_use", { "Stripe-Should-Retry": "true", ...now }),
    ],
    [
      "if its problem is retryable, although its code is otherwise final",
      "status",
      problem(409, { code: "outcome-unknown", retryable: true }),
    ],
  ];
  for (const [name, reason, respond] of retried) {
    test(name, async () => {
      const { attempts, events, status: got } = await placed(respond, status(201));
      expect([got, attempts]).toEqual([201, 2]);
      expect(events).toMatchObject([{ reason, status: 409 }]);
    });
  }

  test("after the wait of Retry-After, in seconds or until a date", async () => {
    const atMs = Date.UTC(2001, 0, 1);
    const date = (ms: number) => new Date(ms).toUTCString();
    for (const headers of [
      { "Retry-After": "1" },
      { Date: date(atMs), "Retry-After": date(atMs + 1_000) },
    ]) {
      const { events } = await placed(status(409, headers), status(201));
      expect(events[0]?.delayMs).toBeGreaterThanOrEqual(1_000);
      expect(events[0]?.delayMs).toBeLessThanOrEqual(1_100);
    }
  });

  test("until the deadline, which is an error with the key", async () => {
    const { url } = await serve(status(409, { "Retry-After": "3600" }));
    const error = await rejection(createClient().fetch(url, order, { key: "k-1" }));
    expect(error).toBeInstanceOf(IdempotencyDeadlineError);
    expect(error).toMatchObject({ key: "k-1", lastStatus: 409, retryAfterMs: 3_600_000 });
  });
});

describe("a 409 is final", () => {
  const long = JSON.stringify({ detail: "x".repeat(70_000), code: "in-progress" });
  const finals: readonly (readonly [string, Respond])[] = [
    ["if nothing in it asks for a retry", status(409)],
    ["if its problem has no code and no Retry-After", problem(409, { title: "Conflict" })],
    [
      "if its outcome is unknown, with Retry-After too",
      problem(409, { code: "outcome-unknown" }, now),
    ],
    ["if its response was not stored", problem(409, { code: "response-not-stored" }, now)],
    ["if it says so in Stripe's form", stripeError(409, "outcome-unknown", now)],
    [
      "if its problem is not retryable",
      problem(409, { code: "in-progress", retryable: false }, now),
    ],
    [
      "if Stripe-Should-Retry is false",
      stripeError(409, "idempotency_key_in_use", { "Stripe-Should-Retry": "false", ...now }),
    ],
    [
      "if its JSON is the application's own",
      status(409, json, '{"code":"in-progress","retryable":true}'),
    ],
    [
      "if its problem is sent as a text",
      status(409, { "Content-Type": "text/plain" }, '{"code":"in-progress"}'),
    ],
    ["if its retryable is no boolean", problem(409, { retryable: "true" })],
    ["if its JSON is broken", status(409, json, '{"error":')],
    ["if its JSON is no object", status(409, json, "null")],
    ["if its error is no object", status(409, json, '{"error":"idempotency_key_in_use"}')],
    ["if its error is null", status(409, json, '{"error":null}')],
    ["if its problem is too long", status(409, problemJson, long)],
    ["if it is replayed", status(409, { "Idempotency-Replayed": "true", ...now })],
  ];
  for (const [name, respond] of finals) {
    test(name, async () => {
      const { attempts, status: got } = await placed(respond, status(299));
      expect([got, attempts]).toEqual([409, 1]);
    });
  }

  test("and its body can still be read", async () => {
    const { text } = await placed(stripeError(409, "outcome-unknown", {}));
    expect(JSON.parse(text)).toMatchObject({ error: { code: "outcome-unknown" } });
  });
});

describe("Stripe-Should-Retry", () => {
  test("with false makes a final response of any other", async () => {
    for (const code of [408, 425, 429, 500, 503]) {
      const headers = { "Stripe-Should-Retry": "false", ...now };
      const { attempts, status: got } = await placed(status(code, headers), status(299));
      expect([got, attempts]).toEqual([code, 1]);
    }
  });

  test("with true sends other errors again as well, unless their problem is not retryable", async () => {
    const headers = { "Stripe-Should-Retry": "true", ...now };
    const { attempts, events } = await placed(status(400, headers), status(201));
    expect(attempts).toBe(2);
    expect(events).toMatchObject([{ reason: "status", status: 400 }]);
    expect((await placed(problem(400, { retryable: false }, headers))).attempts).toBe(1);
  });

  test("with true does not send a success again", async () => {
    const { attempts } = await placed(status(201, { "Stripe-Should-Retry": "true" }));
    expect(attempts).toBe(1);
  });

  test("with another value says nothing", async () => {
    const headers = { "Stripe-Should-Retry": "perhaps" };
    expect((await placed(status(409, headers))).attempts).toBe(1);
    expect((await placed(status(503, { ...headers, ...now }), status(201))).attempts).toBe(2);
  });
});

describe("the look into a body of JSON", () => {
  const begun = (response: Parameters<Respond>[0]) => {
    response.writeHead(409, json).write('{"error":');
    return response;
  };

  test("ends with the attempt's timeout if the body does not end", async () => {
    const { url } = await serve((response) => void begun(response), status(201));
    const events: RetryEvent[] = [];
    const client = createClient({ attemptTimeoutMs: 600, onRetry: (event) => events.push(event) });
    const { attempts } = await client.fetch(url, order);
    expect(attempts).toBe(2);
    expect(events).toMatchObject([{ reason: "attempt-timeout", status: 409 }]);
  });

  test("ends with the deadline if the body does not end, and the error has the status", async () => {
    const { url } = await serve((response) => void begun(response));
    const error = await rejection(createClient({ deadlineMs: 300 }).fetch(url, order));
    expect(error).toMatchObject({ code: "DEADLINE_EXCEEDED", lastStatus: 409 });
    expect((error as Error).cause).toMatchObject({
      message: "Status 409 came, but its body or `shouldRetry` took longer than 300 ms.",
    });
  });

  test("leads to another attempt if the connection breaks", async () => {
    const broken: Respond = (response) => {
      begun(response);
      setTimeout(() => response.socket?.destroy(), 20);
    };
    const { events } = await placed(broken, status(201));
    expect(events).toMatchObject([{ reason: "network-error", status: 409 }]);
  });

  test("is for a 409 only: a 503 with an error of the application is sent again at once", async () => {
    const endless: Respond = (response) => {
      response.writeHead(503, { ...json, ...now }).write('{"error":');
    };
    const { events } = await placed(endless, status(201));
    expect(events).toMatchObject([{ reason: "status", status: 503 }]);
  });

  test("ends after 64 KiB of a body that does not end, which can still be read", async () => {
    const { url } = await serve((response) => {
      response.writeHead(409, json);
      response.write(`{"error":"${"x".repeat(200_000)}`);
    });
    const { response, attempts } = await createClient().fetch(url, order);
    expect(attempts).toBe(1);
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    while (text.length < 200_000) text += decoder.decode((await reader?.read())?.value);
    expect(text.slice(0, 12)).toBe('{"error":"xx');
    await reader?.cancel();
  });
});
