import { describe, expect, test } from "vitest";
import { createClient, IdempotencyDeadlineError } from "../src/index.ts";
import { problem, type Respond, rejection, serve, silent, status } from "./server.ts";

const order = { method: "POST", body: '{"sku":"teapot"}' };

/** A server that keeps what it has made by key and content; `fate` is what the next answer meets. */
function shop() {
  const orders = new Map<string, string>();
  const world: { fate: Respond | undefined } = { fate: undefined };
  const respond: Respond = (response, seen) => {
    const { key = "", body } = seen;
    const known = orders.get(key);
    orders.set(key, known ?? String(body));
    if (world.fate !== undefined) return world.fate(response, seen);
    if (known === undefined) return status(201, {}, `order ${orders.size}`)(response, seen);
    if (known !== String(body)) return problem(422, { code: "key-reused" })(response, seen);
    return status(201, { "Idempotency-Replayed": "true" }, "order 1")(response, seen);
  };
  return { orders, world, respond };
}

describe("an operation", () => {
  test("outlives its process: who has its key goes on with it", async () => {
    const { orders, world, respond } = shop();
    const { url, seen } = await serve(respond);
    world.fate = silent;
    const operation = createClient().operation({ deadlineMs: 200 });
    const saved = JSON.stringify(operation);
    const error = await rejection(operation.fetch(url, order));
    expect(error).toBeInstanceOf(IdempotencyDeadlineError);
    expect(error).toMatchObject({ key: operation.key });
    expect(saved).toBe(JSON.stringify({ key: operation.key }));

    world.fate = undefined;
    const again = createClient().operation(JSON.parse(saved));
    const { response, key, attempts, replayed } = await again.fetch(url, order);
    expect(await response.text()).toBe("order 1");
    expect({ key, attempts, replayed }).toEqual({
      key: operation.key,
      attempts: 1,
      replayed: true,
    });
    expect(orders.size).toBe(1);
    expect(new Set(seen.map((each) => each.key)).size).toBe(1);
  });

  test("has the key that it was given, or a new one", () => {
    const client = createClient();
    expect(client.operation({ key: "order-7" }).key).toBe("order-7");
    expect(client.operation().key).toMatch(/^[0-9a-f-]{36}$/);
    expect(client.operation().key).not.toBe(client.operation().key);
  });

  test("that is used for other content is refused by the server, once", async () => {
    const { url, seen } = await serve(shop().respond);
    const operation = createClient().operation({ key: "order-7" });
    await operation.fetch(url, order);
    const { response, attempts } = await operation.fetch(url, { ...order, body: "{}" });
    expect([response.status, attempts, seen.length]).toEqual([422, 1, 2]);
  });

  test("may be running elsewhere, so that a 202 in progress is asked again", async () => {
    const accepted = status(202, { "Retry-After": "0", Location: "/idempotency/k" });
    const { url } = await serve(accepted, status(201), accepted, status(201));
    const client = createClient();
    const one = await client.operation({ key: "k" }).fetch(url, order);
    const two = await client.fetch(url, order, { key: "k" });
    expect([one.attempts, one.response.status]).toEqual([2, 201]);
    expect([two.attempts, two.response.status]).toEqual([2, 201]);
  });

  test("takes its limits from the client, and its own before them", async () => {
    const { url } = await serve(silent);
    const client = createClient({ deadlineMs: 100 });
    const elapsed = async (deadlineMs?: number) => {
      const startedMs = performance.now();
      const options = deadlineMs === undefined ? {} : { deadlineMs };
      await rejection(client.operation(options).fetch(url, order));
      return performance.now() - startedMs;
    };
    const [short, long] = [await elapsed(), await elapsed(1_000)];
    expect(short).toBeLessThan(900);
    expect(long).toBeGreaterThan(990);
  });
});
