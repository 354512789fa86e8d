import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Sent } from "./client.ts";

/** When a client leaves: after so many bytes of its response, or so long after its request. */
export type Leave = { readonly afterBytes: number } | { readonly afterMs: number };

const CLOSED_MS_MAX = 10_000;

/**
 * Sends one request over a socket of its own and closes that early. Resolves when the socket is closed.
 *
 * @returns the bytes that have arrived
 */
export async function leaveEarly(origin: string, sent: Sent, leave: Leave): Promise<Buffer> {
  const { hostname, port } = new URL(origin);
  const wanted = "afterBytes" in leave ? leave.afterBytes : Number.POSITIVE_INFINITY;
  const received: Buffer[] = [];
  let size = 0;
  // No more is read than the client waits for: the rest of the response meets a closed socket.
  const buffer = Buffer.alloc(Math.min(Math.max(1, wanted), 65_536));
  const socket: Socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer,
      callback: (bytes) => {
        received.push(Buffer.from(buffer.subarray(0, Math.min(bytes, wanted - size))));
        size += bytes;
        if (size >= wanted) socket.resetAndDestroy();
        return size < wanted;
      },
    },
  });
  socket.on("error", () => undefined);
  socket.setTimeout(CLOSED_MS_MAX, () => socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await new Promise<void>((resolve) => socket.write(requestText(sent), () => resolve()));
  if (wanted === 0) socket.resetAndDestroy();
  if ("afterMs" in leave) {
    await pause(leave.afterMs);
    socket.resetAndDestroy();
  }
  await closed;
  return Buffer.concat(received);
}

/** Bodies are JSON, and the server closes the connection after its response. */
function requestText({ method = "POST", path = "/orders", key, body, headers = {} }: Sent): string {
  const payload = JSON.stringify(body ?? { sku: "a", quantity: 1 });
  const lines = {
    host: "localhost",
    connection: "close",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(payload)),
    "x-user": "ada",
    ...(key !== undefined && { "idempotency-key": JSON.stringify(key) }),
    ...headers,
  };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${head.join("")}\r\n${payload}`;
}
