import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { openSqlite } from "@idemkit/store-sqlite";
import { expect, onTestFinished, test } from "vitest";
import { type Service, startService } from "../src/service.ts";

interface Api {
  readonly path: string;
  readonly service: Service;
  send(method: string, path: string, sent?: Sent): Promise<Response>;
}

interface Sent {
  readonly token?: string;
  readonly key?: string;
  readonly body?: unknown;
}

async function api(): Promise<Api> {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-koa-orders-"));
  const path = join(folder, "orders.db");
  const service = await startService(path, 0);
  onTestFinished(async () => {
    await service.close(0);
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    path,
    service,
    send: async (method, at, { token = "ann-token", key, body } = {}) =>
      await fetch(`http://127.0.0.1:${service.port}${at}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          connection: "close",
          ...(key !== undefined && { "idempotency-key": `"${key}"` }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
  };
}

const mugs = { sku: "mug", quantity: 2 };

function stockOf(path: string): unknown {
  const db = openSqlite(path);
  try {
    return db.prepare("SELECT available FROM stock WHERE sku = 'mug'").pluck().get();
  } finally {
    db.close();
  }
}

test("twenty requests at once with one key are one order", async () => {
  const { send, path } = await api();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => send("POST", "/orders", { key: "k", body: mugs })),
  );
  const statuses = new Set(answers.map(({ status }) => status));
  expect([201, 409]).toEqual(expect.arrayContaining([...statuses]));
  const again = await send("POST", "/orders", { key: "k", body: mugs });
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(await again.json()).toMatchObject({ id: 1 });
  expect(stockOf(path)).toBe(3);
});

test("a caller who is not known is refused before the key is looked at", async () => {
  const { send } = await api();
  const answer = await send("POST", "/orders", { token: "nobody", key: "k", body: mugs });
  expect(answer.status).toBe(401);
  expect((await send("POST", "/orders", { key: "k", body: mugs })).status).toBe(201);
});

test("a key is used for one route only", async () => {
  const { send } = await api();
  await send("POST", "/orders", { key: "k", body: mugs });
  const other = await send("PATCH", "/orders/1", { key: "k", body: { quantity: 1 } });
  expect(other.status).toBe(422);
});

test("a change that is repeated does not undo a later one", async () => {
  const { send, path } = await api();
  await send("POST", "/orders", { key: "k-1", body: mugs });
  await send("PATCH", "/orders/1", { key: "k-2", body: { quantity: 4 } });
  await send("PATCH", "/orders/1", { key: "k-3", body: { quantity: 1 } });
  const repeated = await send("PATCH", "/orders/1", { key: "k-2", body: { quantity: 4 } });
  expect(await repeated.json()).toMatchObject({ quantity: 4 });
  const order: unknown = await (await send("GET", "/orders/1")).json();
  expect(order).toMatchObject({ quantity: 1 });
  expect(stockOf(path)).toBe(4);
});

test("an order whose response was not recorded is found by the next attempt", async () => {
  const { send, path } = await api();
  await send("POST", "/orders", { key: "k", body: mugs });
  const db = openSqlite(path);
  // As if the process had died between the order's commit and that of its response.
  db.exec("DELETE FROM idemkit_records");
  db.close();
  const again = await send("POST", "/orders", { key: "k", body: mugs });
  expect(again.headers.get("idempotency-replayed")).toBeNull();
  expect(await again.json()).toMatchObject({ id: 1 });
  expect(stockOf(path)).toBe(3);
});

test("a request that has begun is answered before the service ends", async () => {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-koa-orders-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const service = await startService(join(folder, "orders.db"), 0);
  const body = JSON.stringify(mugs);
  const socket = connect(service.port, "127.0.0.1");
  const answered = text(socket);
  socket.write(
    `POST /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ann-token\r\n` +
      `Idempotency-Key: k\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n`,
  );
  await pause(100);
  const closed = service.close(5_000);
  await pause(100);
  socket.write(body);
  expect(await answered).toMatch(/^HTTP\/1\.1 201 /);
  await closed;
});

test("orders of somebody else are not there", async () => {
  const { send } = await api();
  await send("POST", "/orders", { key: "k", body: mugs });
  const answer = await send("GET", "/orders/1", { token: "bob-token" });
  expect(answer.status).toBe(404);
});
