import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A TCP proxy before a server, through which a test sees and spoils what passes. */
export interface TestProxy {
  /** The server's URL, by way of this proxy. */
  readonly url: string;
  /** How often clients have sent something and waited for the answer, since the last reset. */
  readonly roundTrips: number;
  reset(): void;
  /**
   * Cuts connections off instead of passing on the next answers, so many of them: the server has done
   * what it was asked, and nobody hears of it.
   */
  loseAnswers(count: number): void;
  /** Does so with the answer to the next request that has this in it. */
  loseAnswerTo(request: RegExp): void;
  stop(): Promise<void>;
}

export async function startProxy(serverUrl: string): Promise<TestProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let roundTrips = 0;
  let answersToLose = 0;
  let requestToLose: RegExp | undefined;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let isAsking = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay());
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (data) => {
      if (!isAsking) roundTrips += 1;
      isAsking = true;
      if (requestToLose?.test(data.toString("latin1"))) {
        requestToLose = undefined;
        answersToLose = 1;
      }
      upstream.write(data);
    });
    upstream.on("data", (data) => {
      isAsking = false;
      if (answersToLose === 0) {
        client.write(data);
        return;
      }
      answersToLose -= 1;
      client.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(serverUrl);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as { readonly port: number }).port);
  return {
    url: String(url),
    get roundTrips() {
      return roundTrips;
    },
    reset: () => {
      roundTrips = 0;
    },
    loseAnswers: (count) => {
      answersToLose = count;
    },
    loseAnswerTo: (request) => {
      requestToLose = request;
    },
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
