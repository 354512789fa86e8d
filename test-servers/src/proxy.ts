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
  /**
   * Passes so many answers on. Then it sends these bytes behind the next answer, in the same chunk, or instead of
   * it, and closes that connection: so does a server that is shut down, or that ends one connection.
   *
   * @returns calls it off, and returns whether it has happened
   */
  endAfter(
    answers: number,
    lastWords: Uint8Array,
    where: "behind the next" | "instead of the next",
  ): () => boolean;
  stop(): Promise<void>;
}

export async function startProxy(serverUrl: string): Promise<TestProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let roundTrips = 0;
  let answersToLose = 0;
  let requestToLose: RegExp | undefined;
  let ending: { answers: number; readonly lastChunk: (answer: Buffer) => Uint8Array } | undefined;
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
      if (ending !== undefined) {
        ending.answers -= 1;
        if (ending.answers < 0) {
          client.end(ending.lastChunk(data));
          ending = undefined;
          return;
        }
      }
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
    endAfter: (answers, lastWords, where) => {
      const lastChunk = (answer: Buffer) =>
        where === "instead of the next" ? lastWords : Buffer.concat([answer, lastWords]);
      const begun = { answers, lastChunk };
      ending = begun;
      return () => {
        const hasEnded = ending !== begun;
        ending = undefined;
        return hasEnded;
      };
    },
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
