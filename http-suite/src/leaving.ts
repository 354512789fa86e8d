import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Sent } from "./client.ts";

/** When a client leaves: after so many bytes of its response, or so long after its request. */
export type Leave = { readonly afterBytes: number } | { readonly afterMs: number };

const CLOSED_MS_MAX = 10_000;

export interface Left {
  /** The bytes that have arrived. */
  readonly received: Buffer;
  /** Whether the client has closed the socket. Otherwise the server has, after its whole response. */
  readonly hasLeft: boolean;
}

/** Sends one request over a socket of its own and closes that early. Resolves when the socket is closed. */
export async function leaveEarly(origin: string, sent: Sent, leave: Leave): Promise<Left> {
  const { hostname, port } = new URL(origin);
  const wanted = "afterBytes" in leave ? leave.afterBytes : Number.POSITIVE_INFINITY;
  const received: Buffer[] = [];
  let size = 0;
  let hasLeft = false;
  const quit = () => {
    hasLeft ||= !socket.destroyed;
    socket.resetAndDestroy();
  };
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
        if (size >= wanted) quit();
        return size < wanted;
      },
    },
  });
  socket.on("error", () => undefined);
  socket.setTimeout(CLOSED_MS_MAX, () => socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await new Promise<void>((resolve) => socket.write(requestText(sent), () => resolve()));
  if (wanted === 0) quit();
  if ("afterMs" in leave) {
    await pause(leave.afterMs);
    quit();
  }
  await closed;
  return { received: Buffer.concat(received), hasLeft };
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
