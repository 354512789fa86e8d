import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { randomOf } from "./random.ts";

/**
 * Where the connection of a request is cut:
 * - `lost`: the server hears nothing of it
 * - `torn`: all has come but the last byte
 * - `abandoned`: all has come, and the client is gone while the server works
 * - `unanswered`: the server has answered, and nothing of that arrives
 * - `half-answered`: half of the answer arrives
 */
export const CUTS = ["lost", "torn", "abandoned", "unanswered", "half-answered"] as const;

export type Fate = (typeof CUTS)[number] | "passed";

/** A request that a client has sent, and what became of it on its way. */
export interface CutExchange {
  readonly request: string;
  readonly fate: Fate;
}

/** A proxy before an HTTP server that cuts connections. It knows requests with a Content-Length. */
export interface CuttingProxy {
  /** The server's origin, by way of this proxy. */
  readonly url: string;
  readonly exchanges: readonly CutExchange[];
  stop(): Promise<void>;
}

/** No test sends more; what does is no HTTP. */
const REQUEST_BYTES_MAX = 1_000_000;

/**
 * Draws fates: the same seed draws the same ones in the same order.
 *
 * @param chance how likely a cut is, from 0 to 1
 * @param cutsMax how many there are at most; afterwards all is passed
 */
export function drawFates(seed: number, chance: number, cutsMax: number): () => Fate {
  const random = randomOf(seed);
  let cuts = 0;
  return () => {
    const [isCut, which] = [random() < chance, random()];
    if (!isCut || cuts >= cutsMax) return "passed";
    cuts += 1;
    return CUTS[Math.floor(which * CUTS.length)] as Fate;
  };
}

export async function startCuttingProxy(
  serverUrl: string,
  draw: () => Fate,
): Promise<CuttingProxy> {
  const target = new URL(serverUrl);
  const exchanges: CutExchange[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay());
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    relay(client, upstream, (request) => {
      const fate = draw();
      exchanges.push({ request, fate });
      return fate;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function relay(client: Socket, upstream: Socket, fateOf: (request: string) => Fate): void {
  let received = Buffer.alloc(0);
  let fate: Fate = "passed";
  client.on("data", (data) => {
    received = Buffer.concat([received, data]);
    if (received.length > REQUEST_BYTES_MAX) client.destroy();
    if (!isWhole(received)) return;
    const request = received;
    received = Buffer.alloc(0);
    fate = fateOf(request.toString("latin1"));
    // Closed once it is written: what is destroyed earlier may not have left.
    if (fate === "lost") client.resetAndDestroy();
    else if (fate === "torn") upstream.write(request.subarray(0, -1), () => client.destroy());
    else if (fate === "abandoned") upstream.write(request, () => client.destroy());
    else upstream.write(request);
  });
  upstream.on("data", (answer) => {
    if (fate === "unanswered") client.resetAndDestroy();
    else if (fate !== "half-answered") client.write(answer);
    else client.write(answer.subarray(0, answer.length / 2), () => client.destroy());
  });
}

function isWhole(request: Buffer): boolean {
  const end = request.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const head = request.toString("latin1", 0, end);
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  return request.length >= end + "\r\n\r\n".length + length;
}
