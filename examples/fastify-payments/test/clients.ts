import got from "got";
import ky from "ky";
import Stripe from "stripe";
import { Agent, RetryAgent, request } from "undici";
import { ANN } from "./accounts.ts";

/** What a client was answered. */
export interface Charged {
  readonly id: string;
  readonly isReplayed: boolean;
}

/** A client of the API as its users have it, with retries on. */
export interface Client {
  /** Whether its calls go under the keys that they are given, so that a caller can come again. */
  readonly takesKeys: boolean;
  /** @throws where the client has given up, or was answered an error */
  charge(orderId: string, key: string): Promise<Charged>;
  close(): Promise<void>;
}

export type ClientAt = (origin: string) => Client;

const REPLAYED = "idempotent-replayed";
/** What these clients are told to retry, beside broken connections. */
const STATUSES = [409, 429, 500, 502, 503, 504];
const RETRIES = 4;
const PAUSE_MS = 20;
const PAUSE_MS_MAX = 320;

function formOf(orderId: string): URLSearchParams {
  return new URLSearchParams({
    ...{ amount: "2000", currency: "eur", source: "tok_visa" },
    "metadata[order_id]": orderId,
  });
}

function headersOf(key: string) {
  return { authorization: `Bearer ${ANN}`, "idempotency-key": key };
}

export function stripeAt(origin: string, retries = RETRIES): Stripe {
  const { hostname, port } = new URL(origin);
  return new Stripe(ANN, {
    ...{ host: hostname, port, protocol: "http", maxNetworkRetries: retries, telemetry: false },
  });
}

/** @param hasOwnKeys whether the client makes the keys, as it does where nobody gives it one */
function stripeClient(origin: string, hasOwnKeys: boolean): Client {
  const stripe = stripeAt(origin);
  return {
    takesKeys: !hasOwnKeys,
    charge: async (orderId, idempotencyKey) => {
      const charge = await stripe.charges.create(
        { amount: 2000, currency: "eur", source: "tok_visa", metadata: { order_id: orderId } },
        hasOwnKeys ? {} : { idempotencyKey },
      );
      const { headers } = charge.lastResponse;
      return { id: charge.id, isReplayed: headers[REPLAYED] === "true" };
    },
    close: async () => undefined,
  };
}

/** By `request`, as the bodies of `fetch` are streams, which are spent by the first attempt. */
function undiciClient(origin: string): Client {
  const agent = new Agent();
  const dispatcher = new RetryAgent(agent, {
    ...{ methods: ["POST"], statusCodes: STATUSES, maxRetries: RETRIES },
    ...{ minTimeout: PAUSE_MS, maxTimeout: PAUSE_MS_MAX },
  });
  const form = { "content-type": "application/x-www-form-urlencoded" };
  return {
    takesKeys: true,
    charge: async (orderId, key) => {
      const { statusCode, headers, body } = await request(`${origin}/v1/charges`, {
        ...{ method: "POST", body: String(formOf(orderId)), dispatcher },
        headers: { ...headersOf(key), ...form },
      });
      if (statusCode !== 200) throw new Error(`Answered ${statusCode}: ${await body.text()}`);
      const { id } = (await body.json()) as { readonly id: string };
      return { id, isReplayed: headers[REPLAYED] === "true" };
    },
    close: async () => await agent.destroy(),
  };
}

function kyClient(origin: string): Client {
  const client = ky.create({
    prefixUrl: origin,
    retry: {
      ...{ limit: RETRIES, methods: ["post"], statusCodes: STATUSES },
      delay: (attempt) => PAUSE_MS * 2 ** attempt,
    },
  });
  return {
    takesKeys: true,
    charge: async (orderId, key) => {
      const answer = await client.post("v1/charges", {
        ...{ body: formOf(orderId), headers: headersOf(key) },
      });
      const { id } = await answer.json<{ id: string }>();
      return { id, isReplayed: answer.headers.get(REPLAYED) === "true" };
    },
    close: async () => undefined,
  };
}

function gotClient(origin: string): Client {
  const client = got.extend({
    prefixUrl: origin,
    retry: {
      ...{ limit: RETRIES, methods: ["POST"], statusCodes: STATUSES },
      // 0 is how it says that this is not to be retried.
      calculateDelay: ({ attemptCount, computedValue }) =>
        computedValue === 0 ? 0 : PAUSE_MS * 2 ** attemptCount,
    },
  });
  return {
    takesKeys: true,
    charge: async (orderId, key) => {
      const { body, headers } = await client.post<{ id: string }>("v1/charges", {
        ...{ headers: headersOf(key), responseType: "json" },
        form: Object.fromEntries(formOf(orderId)),
      });
      return { id: body.id, isReplayed: headers[REPLAYED] === "true" };
    },
    close: async () => undefined,
  };
}

/** The clients, by what they are called. */
export const CLIENTS: Readonly<Record<string, ClientAt>> = {
  "stripe, with keys of its own": (origin) => stripeClient(origin, true),
  "stripe, with keys of its caller": (origin) => stripeClient(origin, false),
  "undici's RetryAgent": undiciClient,
  ky: kyClient,
  got: gotClient,
};
