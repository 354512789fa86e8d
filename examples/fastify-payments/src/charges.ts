import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Finding } from "@idemkit/engine";
import type { IdempotencyState } from "@idemkit/fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ApiError, type ErrorBody } from "./api-error.ts";
import { type CardNetwork, CardNetworkError, type Verdict } from "./card-network.ts";
import type { Charge, ChargeRequest } from "./charge.ts";
import type { Ledger } from "./ledger.ts";
import { CHARGE, CHARGE_REQUEST, DECLINED, NOT_FOUND } from "./schemas.ts";

/** How far a handler has got. */
export type Point = "started" | "authorised" | "in-transaction" | "written" | "committed";

/** Is called at each point, for tests that stop a handler there. */
export type Watcher = (point: Point) => void | Promise<void>;

export interface ChargeRoutes<Tx> {
  readonly ledger: Ledger<Tx>;
  readonly network: CardNetwork;
  /** Off only to show the harm. */
  readonly isProtected: boolean;
  readonly watch: Watcher;
}

type Post = FastifyRequest<{ readonly Body: ChargeRequest }>;

interface ChargeResponse {
  readonly status: number;
  readonly body: Charge | { readonly error: ErrorBody };
}

/** How much of a derived key is in the id of a charge: 96 bits. */
const ID_DIGITS = 24;

/** Declares the routes of charges. They need an authenticated account. */
export function declareCharges<Tx>(app: FastifyInstance, routes: ChargeRoutes<Tx>): void {
  const { ledger, isProtected } = routes;
  app.post<{ readonly Body: ChargeRequest }>("/charges", {
    config: { idempotency: isProtected },
    schema: {
      summary: "Charge a card, once for each key",
      consumes: ["application/x-www-form-urlencoded", "application/json"],
      body: CHARGE_REQUEST,
      response: { 200: CHARGE, 402: DECLINED },
    },
    handler: async (request, reply) => {
      const { idempotency } = request;
      if (idempotency === undefined) return await chargeUnprotected(routes, request, reply);
      return await chargeOnce(routes, request, reply, idempotency);
    },
  });
  app.get<{ readonly Params: { readonly id: string } }>("/charges/:id", {
    schema: { summary: "Read a charge", response: { 200: CHARGE, 404: NOT_FOUND } },
    handler: async ({ params, account }) => {
      const charge = await ledger.find(params.id, account);
      if (charge !== undefined) return charge;
      throw new ApiError(404, { type: "invalid_request_error", message: "No such charge." });
    },
  });
}

/**
 * The network is called in a step, under a key that is derived from the request's: a run after a crash asks the
 * network for the verdict. The row, the response and the end of the key are one commit.
 */
async function chargeOnce<Tx>(
  { ledger, network, watch }: ChargeRoutes<Tx>,
  { account, body }: Post,
  reply: FastifyReply,
  idempotency: IdempotencyState,
): Promise<unknown> {
  const idempotencyKey = idempotency.deriveKey("charge");
  const id = `ch_${idempotencyKey.slice(0, ID_DIGITS)}`;
  const known = await ledger.find(id, account);
  if (known !== undefined) return send(reply, responseFor(sameCharge(known, body)));
  await watch("started");
  const { signal } = idempotency;
  const ask = () => network.authorise(body.source, body.amount, { idempotencyKey, signal });
  const reconcile = () => findVerdict(network, idempotencyKey);
  const verdict = await unlessDown(idempotency.step("authorise", ask, { reconcile }));
  await watch("authorised");
  const charge = chargeFor(id, body, verdict);
  await idempotency.transaction<Tx>((tx) => {
    void watch("in-transaction");
    return ledger.insertIn(tx, { account, charge }, () => {
      void watch("written");
      return responseFor(charge);
    });
  });
  await watch("committed");
  // The committed response is sent, whatever a handler returns.
  return undefined;
}

async function chargeUnprotected<Tx>(
  { ledger, network }: ChargeRoutes<Tx>,
  { account, body }: Post,
  reply: FastifyReply,
): Promise<unknown> {
  const idempotencyKey = randomUUID();
  const asked = network.authorise(body.source, body.amount, { idempotencyKey });
  const charge = chargeFor(`ch_${idempotencyKey}`, body, await unlessDown(asked));
  await ledger.insert({ account, charge });
  return send(reply, responseFor(charge));
}

/** An interrupted step is decided by the network: only the network knows whether it moved the money. */
async function findVerdict(network: CardNetwork, key: string): Promise<Finding<Verdict>> {
  try {
    const happened = await network.find(key);
    return happened === undefined ? "did-not-happen" : { happened };
  } catch {
    return "still-unknown";
  }
}

/** The key is given back then: the next attempt sends the same derived key, and the network knows it. */
async function unlessDown(asked: Promise<Verdict>): Promise<Verdict> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof CardNetworkError)) throw error;
    throw new ApiError(503, { type: "api_error", message: "The card network is not available." });
  }
}

function chargeFor(
  id: string,
  { amount, currency, source, metadata = {} }: ChargeRequest,
  verdict: Verdict,
): Charge {
  const status = verdict === "approved" ? "succeeded" : "failed";
  const created = Math.floor(Date.now() / 1000);
  return { id, object: "charge", amount, currency, source, metadata, status, created };
}

function responseFor(charge: Charge): ChargeResponse {
  if (charge.status === "succeeded") return { status: 200, body: charge };
  const message = "The card was declined.";
  const error = { type: "card_error", code: "card_declined", message, charge: charge.id } as const;
  return { status: 402, body: { error } };
}

function send(reply: FastifyReply, { status, body }: ChargeResponse): unknown {
  void reply.code(status);
  return body;
}

/** Records of keys expire after a day, charges never: an old key with another charge is refused. */
function sameCharge(known: Charge, { metadata = {}, ...asked }: ChargeRequest): Charge {
  const { amount, currency, source } = known;
  const before = { amount, currency, source, metadata: known.metadata };
  if (isDeepStrictEqual(before, { ...asked, metadata })) return known;
  throw new ApiError(400, {
    type: "idempotency_error",
    message: "This key was used for another charge.",
  });
}
