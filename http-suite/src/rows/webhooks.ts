import { createHmac, timingSafeEqual } from "node:crypto";
import type { HttpOptions } from "@idemkit/http";
import { expect } from "vitest";
import { type Sent, send } from "../client.ts";
import type { Exchange, Lab, Row } from "../lab.ts";
import { counting, expectProblem, expectReplay, gate, row, until, viewOf } from "./row.ts";

const SECRET = "secret of the suite";
const DAY_MS = 86_400_000;

/** Koa's context and Fastify's request both have it. */
interface WithHeaders {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function headerOf({ headers }: WithHeaders, name: string): string {
  return String(headers[name] ?? "");
}

function signatureOf(body: string | Uint8Array): string {
  return createHmac("sha256", SECRET).update(body).digest("hex");
}

function verify(request: WithHeaders, rawBody: Buffer): boolean {
  const signature = Buffer.from(headerOf(request, "x-signature"));
  const expected = Buffer.from(signatureOf(rawBody));
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

const webhook = {
  preset: "webhook",
  key: (request: WithHeaders) => headerOf(request, "x-event-id"),
  verify,
} satisfies Partial<HttpOptions<never>>;

/** A delivery of one event. Each sending of it differs in members that say nothing of the event. */
function delivery(attempt: number, { id = "evt_1", ...changes }: Partial<Signed> = {}): Sent {
  const createdAt = `2026-11-30T12:00:0${attempt}Z`;
  const event = { id, createdAt, attempts: attempt, pending_webhooks: 3 - attempt };
  const body = JSON.stringify({ ...event, data: { amount: 5 } });
  return signed({ id, body, ...changes });
}

interface Signed {
  readonly id: string;
  readonly body: string;
  readonly signature?: string;
  readonly mediaType?: string;
  readonly path?: string;
}

function signed({ id, body, path = "/hooks", ...given }: Signed): Sent {
  const headers = {
    "content-type": given.mediaType ?? "application/json",
    "x-event-id": id,
    "x-signature": given.signature ?? signatureOf(body),
  };
  return { path, body, headers };
}

const forged = signed({ id: "evt_1", body: '{"data":{"amount":500}}', signature: "forged" });

function respond(exchange: Exchange, status: number): unknown {
  exchange.status(status);
  return exchange.send({ failed: true });
}

const failures: readonly (readonly [string, (exchange: Exchange) => unknown, number])[] = [
  [
    "an unexpected error",
    () => {
      throw new Error("The database is gone.");
    },
    500,
  ],
  ["a thrown 404", (exchange) => exchange.fail(404, "There is no such account yet."), 404],
  ["a 503 response", (exchange) => respond(exchange, 503), 503],
  ["a 422 response", (exchange) => respond(exchange, 422), 422],
  [
    "a redirect",
    (exchange) => {
      exchange.status(302);
      exchange.header("Location", "/elsewhere");
      return exchange.send({});
    },
    302,
  ],
  [
    "a 500 that the handler writes by itself",
    (exchange) => void exchange.hijack().writeHead(500).end(),
    500,
  ],
];

const deliveryRows: readonly Row[] = [
  {
    title: "a forged delivery is refused without a call to the store, and the real one runs",
    prove: async ({ serve, store, createEngine }) => {
      let calls = 0;
      const counted = viewOf(store, () => {
        calls += 1;
      });
      const engine = createEngine({ store: counted });
      const { handler, runs } = counting();
      const { origin } = await serve({ handler, options: webhook }, engine);
      calls = 0;
      expectProblem(await send(origin, forged), 401, "signature-invalid");
      expect([runs(), calls]).toEqual([0, 0]);
      const real = await send(origin, delivery(1));
      expect(real.status).toBe(201);
      expectReplay(real, await send(origin, delivery(2)));
      expectProblem(await send(origin, forged), 401, "signature-invalid");
      expect(runs()).toBe(1);
      await engine.close();
    },
  },
  row(
    "redeliveries with other attempts, pending_webhooks and createdAt get the first response",
    { options: webhook },
    async ({ post, runs }) => {
      const first = await post(delivery(1));
      expectReplay(first, await post(delivery(2)));
      expectReplay(first, await post(delivery(3)));
      expect(runs()).toBe(1);
      expect((await post(delivery(1, { id: "evt_2" }))).isReplayed).toBe(false);
    },
  ),
  ...failures.map(([failure, fail, status]) =>
    row(
      `a redelivery runs after ${failure}, and its 2xx is the outcome`,
      {
        options: webhook,
        answer: (exchange, run) => (run === 1 ? fail(exchange) : exchange.send({ run })),
      },
      async ({ post, runs }) => {
        expect((await post(delivery(1))).status).toBe(status);
        await until(async () => (await post(delivery(2))).status === 200);
        const third = await post(delivery(3));
        expect(third).toMatchObject({ status: 200, json: { run: 2 }, isReplayed: true });
        expect(runs()).toBe(2);
      },
    ),
  ),
  row(
    "a redelivery gets 2xx if the first response could not be kept",
    {
      options: webhook,
      answer: (exchange) => void exchange.hijack().writeHead(200).end("done"),
    },
    async ({ post, runs }) => {
      expect((await post(delivery(1))).text).toBe("done");
      await until(async () => (await post(delivery(2))).status === 200);
      expect((await post(delivery(3))).json).toMatchObject({ code: "response-not-stored" });
      expect(runs()).toBe(1);
    },
  ),
  {
    title: "a delivery that arrives while the first runs gets 409, and the next one the response",
    prove: async (lab) => {
      const [started, finish] = [gate(), gate()];
      const { handler, runs } = counting(async (exchange) => {
        started.open();
        await finish.opened;
        return exchange.send({ done: true });
      });
      const { origin } = await lab.serve({ handler, options: webhook });
      const first = send(origin, delivery(1));
      await started.opened;
      const second = await send(origin, delivery(2));
      expectProblem(second, 409, "in-progress");
      expect(Number(second.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      finish.open();
      expect((await first).status).toBe(200);
      expectReplay(await first, await send(origin, delivery(3)));
      expect(runs()).toBe(1);
    },
  },
  ...([undefined, 30 * DAY_MS] as const).map((replayMs) =>
    row(
      `the outcome of a delivery is kept for ${replayMs === undefined ? "a week" : "replayMs"}`,
      { options: { ...webhook, ...(replayMs !== undefined && { replayMs }) } },
      async ({ post, lab }) => {
        await post(delivery(1));
        const expectedMs = replayMs ?? 7 * DAY_MS;
        expect(Math.abs((await retentionMs(lab, "evt_1")) - expectedMs)).toBeLessThan(60_000);
      },
    ),
  ),
];

async function retentionMs({ engine }: Lab, key: string): Promise<number> {
  const record = await engine.inspect("ada", key);
  return (record?.expiresAt ?? 0) - (record?.createdAt ?? 0);
}

const verifyRows: readonly Row[] = [
  row(
    "a verify that throws refuses the request, and its error is reported without its own members",
    {
      options: {
        verify: () => {
          throw Object.assign(new Error("No match."), { payload: "secret-key" });
        },
      },
    },
    async ({ post, runs, reported }) => {
      expectProblem(await post({ key: "k" }), 401, "signature-invalid");
      expect(runs()).toBe(0);
      await until(() => reported.length > 0);
      expect(reported[0]).toMatchObject({ cause: { message: "No match." } });
      expect(Object.keys(reported[0] as object)).not.toContain("payload");
    },
  ),
  row(
    "a verify that returns no boolean lets nothing run",
    { options: { verify: (() => undefined) as never } },
    async ({ post, runs }) => {
      expect((await post({ key: "k" })).status).toBe(500);
      expect(runs()).toBe(0);
    },
  ),
  row(
    "verify comes before the key, and a request without one is verified too",
    { options: { required: false, verify } },
    async ({ post, runs }) => {
      const headers = { "idempotency-key": '"' };
      expectProblem(await post({ headers }), 401, "signature-invalid");
      expectProblem(await post(), 401, "signature-invalid");
      expect(runs()).toBe(0);
      expect((await post(delivery(1))).status).toBe(201);
    },
  ),
  row(
    "verify gets the bytes as they were sent, and the handler the body as ever",
    {
      options: {
        verify: async (_request: never, rawBody: Buffer) =>
          Buffer.isBuffer(rawBody) && rawBody.toString() === '{ "a" : 1.0 }',
      },
      answer: (exchange) => exchange.send({ got: exchange.body }),
    },
    async ({ post }) => {
      const headers = { "content-type": "application/json" };
      const sent = await post({ key: "k", body: '{ "a" : 1.0 }', headers });
      expect(sent).toMatchObject({ status: 200, json: { got: { a: 1 } } });
    },
  ),
  row(
    "verify gets the bytes of a body that no parser reads, or of none",
    {
      options: {
        verify: (request: WithHeaders, rawBody: Buffer) =>
          rawBody.toString("hex") === headerOf(request, "x-hex"),
      },
    },
    async ({ post }) => {
      const headers = { "content-type": "application/octet-stream", "x-hex": "00ff" };
      const body = Buffer.from([0, 255]);
      expect((await post({ key: "k", body, headers })).status).toBe(201);
      expect((await post({ key: "k2", body: null, headers: { "x-hex": "" } })).status).toBe(201);
    },
  ),
];

export const webhookRows: readonly Row[] = [...deliveryRows, ...verifyRows];
