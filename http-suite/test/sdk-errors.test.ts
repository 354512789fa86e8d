import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { createTRPCClient, httpLink } from "@trpc/client";
import { initTRPC, TRPCError } from "@trpc/server";
import { createHTTPHandler } from "@trpc/server/adapters/standalone";
import axios from "axios";
import got from "got";
import Stripe from "stripe";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fastifyBinding, koaBinding, prove, type Row, send } from "../src/index.ts";

const POSTS = 5;
const STATUSES = [401, 403, 408, 409, 413, 425, 429, 500];

/** A service that has charged before it responds with the status that its path names. */
const trpc = initTRPC.create();
const router = trpc.router({
  charge: trpc.procedure.input(Number).mutation(({ input }): string => {
    throw new TRPCError({ code: TRPC_CODES[input] ?? "INTERNAL_SERVER_ERROR", message: "refused" });
  }),
});
const TRPC_CODES: Readonly<Record<number, TRPCError["code"]>> = {
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  408: "TIMEOUT",
  409: "CONFLICT",
  413: "PAYLOAD_TOO_LARGE",
  425: "PRECONDITION_FAILED",
  429: "TOO_MANY_REQUESTS",
};

const trpcHandler = createHTTPHandler({
  router,
  basePath: "/trpc/",
});

function respond(request: IncomingMessage, response: ServerResponse): void {
  if (request.url?.startsWith("/trpc/")) {
    trpcHandler(request, response);
    return;
  }
  const status = Number(request.headers["x-status"] ?? /\d{3}/.exec(request.url ?? "")?.[0]);
  request.resume();
  response.writeHead(status, { "content-type": "application/json", "x-service": "charges" });
  response.end(JSON.stringify({ error: { type: "api_error", message: "refused" }, message: "no" }));
}

const server = createServer(respond);
let origin = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("expected a port");
  origin = `http://127.0.0.1:${address.port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Calls the service by a real client, which throws its own error. */
const clients: Readonly<Record<string, (status: number) => Promise<unknown>>> = {
  stripe: async (status) => {
    const { hostname, port } = new URL(origin);
    const options = { host: hostname, port, protocol: "http", maxNetworkRetries: 0 } as const;
    const stripe = new Stripe("sk_test_none", { ...options, telemetry: false });
    const headers = { "x-status": String(status) };
    return await stripe.rawRequest(
      "POST",
      `/v1/charges/${status}`,
      {},
      { additionalHeaders: headers },
    );
  },
  axios: async (status) => await axios.post(`${origin}/charges/${status}`, { amount: 1 }),
  got: async (status) =>
    await got.post(`${origin}/charges/${status}`, { json: { amount: 1 }, retry: { limit: 0 } }),
  "@aws-sdk/client-sqs": async (status) => {
    const client = new SQSClient({
      ...{ region: "eu-west-1", endpoint: `${origin}/${status}`, maxAttempts: 1 },
      credentials: { accessKeyId: "none", secretAccessKey: "none" },
    });
    const command = new SendMessageCommand({
      QueueUrl: `${origin}/${status}/queue`,
      MessageBody: "charge",
    });
    try {
      return await client.send(command);
    } finally {
      client.destroy();
    }
  },
  "@trpc/client": async (status) => {
    const client = createTRPCClient<typeof router>({
      links: [httpLink({ url: `${origin}/trpc` })],
    });
    return await client.charge.mutate(status);
  },
};

/** A row whose handler lets the error of a client through, and one that passes its status on. */
function letThrough(client: string, status: number, around: "uncaught" | "formatted"): Row {
  return {
    title: `${client}, ${status}, ${around}`,
    prove: async ({ serve }) => {
      let charges = 0;
      let thrown: unknown;
      const app = await serve({
        handler: async (exchange) => {
          charges += 1;
          try {
            return exchange.send(await clients[client]?.(status));
          } catch (error) {
            thrown = error;
            throw error;
          }
        },
        ...(around === "formatted" && { formatsErrors: true }),
      });
      const first = await send(app.origin, { key: "k" });
      expect(thrown).toBeInstanceOf(Error);
      expect(first.status).toBeGreaterThanOrEqual(400);
      for (let posts = 1; posts < POSTS; posts += 1) {
        const again = await send(app.origin, { key: "k" });
        expect(again).toMatchObject({ status: first.status, text: first.text, isReplayed: true });
      }
      expect(charges).toBe(1);
    },
  };
}

const bindings = { "Koa 3": koaBinding(koaModule), "Fastify 5": fastifyBinding(fastifyModule) };

for (const [name, binding] of Object.entries(bindings)) {
  for (const client of Object.keys(clients)) {
    describe(`${name}: an error of ${client} that leaves the handler is its outcome`, () => {
      for (const status of STATUSES) {
        for (const around of ["uncaught", "formatted"] as const) {
          const row = letThrough(client, status, around);
          test(`${status}, ${around}`, async () => await prove(row, binding));
        }
      }
    });
  }
}
