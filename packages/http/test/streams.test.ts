import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { drain } from "../src/drain.ts";
import { requestFingerprint } from "../src/fingerprint.ts";
import { peekBody } from "../src/peek.ts";

test("a stream that is too long is let go of, though what stands for it was never read", async () => {
  const source = new Readable({ read: () => undefined });
  source.push(Buffer.alloc(20));
  const drained = await drain(source, 10);
  if (!("rest" in drained)) throw new Error("It was not too long.");
  drained.rest.destroy();
  await expect.poll(() => source.destroyed).toBe(true);
});

test("a stream that has stalled is let go of, though its reader waits for it", async () => {
  const source = new Readable({ read: () => undefined });
  source.push(Buffer.alloc(20));
  const drained = await drain(source, 10);
  if (!("rest" in drained)) throw new Error("It was not too long.");
  drained.rest.resume();
  await once(drained.rest, "data");
  drained.rest.destroy();
  await expect.poll(() => source.destroyed).toBe(true);
});

test("a body that somebody wants as text is peeked at, and is still to be read", async () => {
  const seen: unknown[] = [];
  const server = createServer(async (incoming: IncomingMessage, response) => {
    incoming.setEncoding("utf8");
    seen.push((await peekBody(incoming, 1_000))?.toString(), await text(incoming));
    response.end();
  });
  server.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close().closeAllConnections());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sent = request({ port, host: "127.0.0.1", method: "POST" }).end("Łukasz 😀");
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  await once(answer.resume(), "end");
  expect(seen).toEqual(["Łukasz 😀", "Łukasz 😀"]);
});

test("a query is compared by its names, whatever stands in it", () => {
  const queryOf = (query: string) => {
    const url = `/orders?${query}`;
    return requestFingerprint({ method: "POST", url, content: {} }).query;
  };
  expect(queryOf("b=1&a=2")).toBe("a=2&b=1");
  expect(queryOf("a=2&&b=1&")).toBe(queryOf("&&a=2&b=1"));
  expect(queryOf("%62=1&a=2&b=3")).toBe("a=2&%62=1&b=3");
  expect(queryOf("b=%zz&%ff=1&a")).toBe("a&b=%zz&%ff=1");
  expect(queryOf("?b=1&?a=2")).toBe("?a=2&?b=1");
  // A thousand times as much as this takes is noticed by whoever runs the tests.
  expect(queryOf("%&".repeat(50_000))).toHaveLength(100_000);
});
