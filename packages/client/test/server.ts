import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request as a server has seen it. */
interface Seen {
  readonly method: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  /** The header Idempotency-Key as it came. */
  readonly key: string | undefined;
  readonly atMs: number;
}

export type Respond = (response: ServerResponse, seen: Seen) => void | Promise<void>;

export interface TestServer {
  readonly url: string;
  /** The requests so far, whole ones only. */
  readonly seen: readonly Seen[];
  /** How many connections are open. */
  openConnections(): Promise<number>;
}

/**
 * Starts a server on a socket of its own, which ends with the test.
 *
 * @param answers what becomes of the first request, the second and so on; the last one stays
 */
export async function serve(...answers: readonly Respond[]): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // the client has hung up
    }
    const { method = "", headers } = request;
    const key = headers["idempotency-key"] as string | undefined;
    const atMs = performance.now();
    const each = { method, headers, body: Buffer.concat(chunks), key, atMs };
    seen.push(each);
    await answers[Math.min(seen.length, answers.length) - 1]?.(response, each);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/orders`,
    seen,
    openConnections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
  };
}

type Headers = Readonly<Record<string, string | string[]>>;

export function status(code: number, headers: Headers = {}, body = ""): Respond {
  return (response) => {
    response.writeHead(code, headers).end(body);
  };
}

export function problem(code: number, members: object, headers: Headers = {}): Respond {
  const type = "application/problem+json; charset=utf-8";
  return status(code, { "Content-Type": type, ...headers }, JSON.stringify(members));
}

/** The connection breaks before there is an answer. */
export const reset: Respond = (response) => {
  response.socket?.resetAndDestroy();
};

/** No answer, ever. */
export const silent: Respond = () => undefined;

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => {
      throw new Error("It was fulfilled.");
    },
    (error: unknown) => error,
  );
}
